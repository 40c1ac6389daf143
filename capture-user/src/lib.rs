//! padtap

//! The VoIP metrics of extended reports (RFC 3611 section 4.7).

use schemars::JsonSchema;
use serde::Serialize;

/// The block type of VoIP metrics.
const VOIP_METRICS: u8 = 7;
/// What says that a metric is not available.
const UNAVAILABLE: u8 = 127;

/// How good a call sounds to the one who reports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct VoipMetrics {
    /// The stream they are of.
    ssrc: u32,
    /// Packets that did not arrive.
    loss_percent: f64,
    /// Packets that came too late or too early to be played.
    discard_percent: f64,
    /// Between the two ends, as the last reports tell, in milliseconds.
    round_trip_ms: u16,
    /// Delay in the reporting end itself, in milliseconds.
    end_system_delay_ms: u16,
    /// 0 to 100 (ITU-T G.107).
    #[serde(skip_serializing_if = "Option::is_none")]
    r_factor: Option<u8>,
    /// Mean opinion score, 1 to 5: listening quality.
    #[serde(skip_serializing_if = "Option::is_none")]
    mos_lq: Option<f64>,
    /// Mean opinion score, 1 to 5: conversational quality.
    #[serde(skip_serializing_if = "Option::is_none")]
    mos_cq: Option<f64>,
}

impl VoipMetrics {
    /// The first block of VoIP metrics in the body of an extended report.
    pub fn find(body: &[u8]) -> Option<Self> {
        let mut rest = body.get(4..)?;
        while let [kind, _, l0, l1, after @ ..] = rest {
            let (block, next) = after.split_at_checked(4 * usize::from(u16::from_be_bytes([*l0, *l1])))?;
            if *kind == VOIP_METRICS {
                return Self::parse(block);
            }
            rest = next;
        }
        None
    }

    fn parse(block: &[u8]) -> Option<Self> {
        let (block, _) = block.split_first_chunk::<32>()?;
        Some(Self {
            ssrc: u32::from_be_bytes([block[0], block[1], block[2], block[3]]),
            loss_percent: percent(block[4]),
            discard_percent: percent(block[5]),
            round_trip_ms: u16::from_be_bytes([block[12], block[13]]),
            end_system_delay_ms: u16::from_be_bytes([block[14], block[15]]),
            r_factor: Some(block[20]).filter(|value| *value != UNAVAILABLE),
            mos_lq: score(block[22]),
            mos_cq: score(block[23]),
        })
    }
}

fn percent(of_256: u8) -> f64 {
    f64::from(of_256) * 100.0 / 256.0
}

fn score(tenths: u8) -> Option<f64> {
    (tenths != UNAVAILABLE).then(|| f64::from(tenths) / 10.0)
}

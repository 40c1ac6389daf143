//! What peers said, as JSON.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

fn log(folder: &Path, name: &str) -> Result<String> {
    let text = fs::read(folder.join(format!("{name}.log"))).with_context(|| name.to_owned())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What stands between two words of a text, the first time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Result<&'a str> {
    let (_, rest) = text.split_once(before).with_context(|| format!("no {before:?}"))?;
    Ok(rest.split(after).next().unwrap_or_default().trim())
}

/// dnsmasq's log.
pub fn address(folder: &Path) -> Result<Value> {
    let text = log(folder, "dnsmasq")?;
    let mut messages = Vec::new();
    let mut questions: Vec<Value> = Vec::new();
    for line in text.lines() {
        if let Some((_, message)) = line.split_once(" DHCP").filter(|(_, rest)| rest.contains("(eth0)")) {
            let words: Vec<&str> = message.split_whitespace().collect();
            let kind = between(message, "", "(")?.to_lowercase();
            messages.push(json!({ "type": kind, "client_mac": words.last() }));
        } else if let Some((_, question)) = line.split_once("query[A] ") {
            let (name, client) = question.split_once(" from ").context("who asks")?;
            questions.push(json!({ "query": name, "client": client, "answers": [] }));
        } else if let Some((name, answer)) = line.split_once(": config ").and_then(|(_, rest)| rest.split_once(" is "))
        {
            let known = questions.iter_mut().rev().find(|question| question["query"] == name).context("a question")?;
            match answer {
                "NXDOMAIN" => known["rcode"] = "NXDOMAIN".into(),
                address => known["answers"] = json!([address]),
            }
        }
    }
    ensure!(messages.len() == 4 && questions.len() == 3, "{} messages, {} questions", messages.len(), questions.len());
    let options = between(&text, "requested options: ", "\n")?;
    let options: Vec<u8> = options.split(", ").filter_map(|option| option.split(':').next()?.parse().ok()).collect();
    Ok(json!({
        "dhcp": messages,
        "vendor_class": between(&text, "vendor class: ", "\n")?,
        "parameter_list": options,
        "dns": questions,
    }))
}

/// What `openssl s_server` said.
pub fn secure(folder: &Path) -> Result<Value> {
    let server = log(folder, "s_server")?;
    let (client, digests) = (log(folder, "s_client")?, log(folder, "sha256")?);
    ensure!(client.contains("Verify return code: 0 (ok)"), "the client does not trust the chain");
    Ok(json!({
        "version": between(&server, "Protocol version: TLSv", "\n")?,
        "cipher": log(folder, "cipher")?.trim(),
        "sni": "eu.actual.battle.net",
        "sha256": digests.lines().collect::<Vec<_>>(),
        "subject_of_leaf": between(&client, " 0 s:", "\n")?,
    }))
}

/// The logs of kamailio and of both baresips, and what the kernel counted.
pub fn call(folder: &Path) -> Result<Value> {
    let (proxy, caller, callee) = (log(folder, "kamailio")?, log(folder, "caller")?, log(folder, "callee")?);
    let mut messages = Vec::new();
    for line in proxy.lines().filter_map(|line| line.split_once("<script>: ")).map(|(_, line)| line) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let sender = words.last().and_then(|end| end.split(':').next());
        match words[..] {
            ["request", method, ..] => messages.push(json!({ "method": method, "sender": sender })),
            ["reply", status, ..] => messages.push(json!({ "status": status.parse::<u16>()?, "sender": sender })),
            _ => {}
        }
    }
    ensure!(messages.iter().any(|message| message["method"] == "BYE"), "nobody hung up");
    let summary = between(&callee, "EX=BareSip;", "\n")?;
    let counted = |field: &str| -> Result<u64> { Ok(between(summary, field, ";")?.parse()?) };
    ensure!(summary.contains("PL=0,0;"), "packets were lost: {summary}");
    let codec = between(&caller, "Set audio encoder: ", "Hz")?;
    let (codec, clock) = codec.split_once(' ').context("codec and clock")?;
    Ok(json!({
        "sip": messages,
        "codec": codec,
        "clock": clock.parse::<u32>()?,
        "lost": 0,
        "reported": { "received": counted("PR=")?, "sent": counted("PS=")? },
        "seconds": between(&caller, "terminated (duration: ", " ")?.parse::<u64>()?,
        "ping_s": 2,
        "datagrams_sent": {
            "192.168.1.40": datagrams(&log(folder, "udp-console")?)?,
            "203.0.113.31": datagrams(&log(folder, "udp-media")?)?,
        },
    }))
}

/// Datagrams that a host sent (RFC 4113). Those that reach it are counted when they are read, which not all are.
fn datagrams(counters: &str) -> Result<u64> {
    let (names, values) = counters.trim().split_once('\n').context("names and values")?;
    let place = names.split(' ').position(|name| name == "OutDatagrams").context("OutDatagrams")?;
    Ok(values.split(' ').nth(place).context("a value")?.parse()?)
}

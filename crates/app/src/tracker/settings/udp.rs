//! The part about visitors over UDP.

use serde::Deserialize;
use tracker::UdpRules;

/// As it is written.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UdpTable {
    connection_id_minutes: Option<u8>,
}

impl UdpTable {
    /// What it means.
    pub(super) fn rules(&self) -> Result<UdpRules, String> {
        let minutes = self.connection_id_minutes.unwrap_or(UdpRules::default().connection_id_minutes);
        if UdpRules::MINUTES.contains(&minutes) {
            return Ok(UdpRules { connection_id_minutes: minutes });
        }
        let (least, most) = (UdpRules::MINUTES.start(), UdpRules::MINUTES.end());
        Err(format!("udp.connection_id_minutes: between {least} and {most}"))
    }
}

/// As a file says it, with what it means.
pub(super) fn print(rules: UdpRules) -> String {
    format!(
        "\n\
[udp]
# For how many minutes a connection id is valid. BEP 15 has 2; some clients, uTorrent among them, use one for 5.
connection_id_minutes = {}
",
        rules.connection_id_minutes
    )
}

//! What the parts of the demonstration tell: the clients of the server, and the programs of the swarm through their JSON
//! lines (docs/json.md).

use serde_json::Value;

/// News kept for the screen; who has more waits until it has looked.
pub(super) const NEWS_MAX: usize = 1024;

/// Something happened.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum News {
    /// A client of the server has so many bytes.
    Fetched(usize, u64),
    /// It has them all.
    FetchDone(usize),
    /// The server is gone, or does not answer.
    FetchFailed(usize),
    /// A member of the swarm said something.
    Said(usize, Said),
    /// Its program has ended.
    Left(usize),
}

/// What a member of the swarm says.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Said {
    /// Where it listens, and what it is called.
    Listening { address: String, peer_id: String },
    /// It serves the whole content.
    Seeding,
    /// It has verified a piece.
    Piece(u32),
    /// Payload bytes received and sent so far.
    Traffic { downloaded: u64, uploaded: u64 },
    /// Whom it is linked with.
    Peers(Vec<Linked>),
    /// It has every piece.
    Finished,
    /// On disk, under its final name.
    Durable,
}

/// A link, as one of its ends sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Linked {
    pub(super) peer_id: String,
    pub(super) pieces: u32,
    /// From the other end to this one.
    pub(super) downloaded: u64,
    /// From this end to the other.
    pub(super) uploaded: u64,
}

impl Said {
    /// What a line says, if it is of interest here.
    pub(super) fn parse(line: &str) -> Option<Said> {
        let line: Value = serde_json::from_str(line).ok()?;
        let number = |name: &str| line[name].as_u64();
        match line["type"].as_str()? {
            "listening" => {
                let address = line["addresses"].get(0)?.as_str()?.to_owned();
                Some(Said::Listening { address, peer_id: line["peer_id"].as_str()?.to_owned() })
            }
            "seeding" => Some(Said::Seeding),
            "piece_done" => Some(Said::Piece(u32::try_from(number("piece")?).ok()?)),
            "progress" => {
                Some(Said::Traffic { downloaded: number("downloaded")?, uploaded: number("uploaded")? })
            }
            "peers" => Some(Said::Peers(line["peers"].as_array()?.iter().filter_map(linked).collect())),
            "finished" => Some(Said::Finished),
            "durable" => Some(Said::Durable),
            _ => None,
        }
    }
}

fn linked(row: &Value) -> Option<Linked> {
    Some(Linked {
        peer_id: row["peer_id"].as_str()?.to_owned(),
        pieces: u32::try_from(row["pieces"].as_u64()?).ok()?,
        downloaded: row["downloaded"].as_u64()?,
        uploaded: row["uploaded"].as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_interest_are_understood_and_others_skipped() {
        for (line, said) in [
            (r#"{"v":1,"type":"piece_done","info_hash":"aa","piece":7}"#, Some(Said::Piece(7))),
            (r#"{"v":1,"type":"piece_done","piece":-7}"#, None),
            (
                r#"{"v":1,"type":"progress","downloaded":5,"uploaded":6}"#,
                Some(Said::Traffic { downloaded: 5, uploaded: 6 }),
            ),
            (
                r#"{"type":"peers","peers":[{"peer_id":"ab","pieces":3,"downloaded":1,"uploaded":2},{}]}"#,
                Some(Said::Peers(vec![Linked {
                    peer_id: "ab".into(),
                    pieces: 3,
                    downloaded: 1,
                    uploaded: 2,
                }])),
            ),
            (r#"{"type":"durable"}"#, Some(Said::Durable)),
            (r#"{"type":"of another version"}"#, None),
            ("no JSON", None),
        ] {
            assert_eq!(Said::parse(line), said, "{line}");
        }
    }
}

//! Names for containers that were given none: a quality and a boat.

use crate::name::container::ContainerName;

const QUALITIES: &[&str] = &[
    "able", "agile", "amber", "ample", "arctic", "azure", "balmy", "blithe", "bold", "brave", "breezy", "bright",
    "brisk", "calm", "candid", "cheery", "clever", "coral", "cosy", "crisp", "daring", "deft", "dry", "eager", "early",
    "easy", "fair", "fast", "fleet", "fluent", "free", "fresh", "gentle", "glad", "golden", "grand", "handy", "happy",
    "hardy", "hasty", "humble", "jolly", "keen", "kind", "light", "lively", "loyal", "lucky", "mellow", "merry",
    "mild", "neat", "nimble", "noble", "pale", "placid", "plain", "proud", "quick", "quiet", "rapid", "ready",
    "robust", "rosy", "salty", "serene", "sharp", "silent", "silver", "sleek", "smart", "smooth", "snug", "solid",
    "sound", "stable", "steady", "stout", "sturdy", "sunny", "swift", "tidy", "trim", "true", "trusty", "upbeat",
    "vivid", "warm", "wise", "witty",
];

const BOATS: &[&str] = &[
    "barge", "bark", "brig", "canoe", "caravel", "catboat", "clipper", "cog", "coracle", "corvette", "currach",
    "cutter", "dhow", "dinghy", "dory", "dugout", "felucca", "ferry", "frigate", "galleon", "galley", "gondola", "gig",
    "jolle", "junk", "kayak", "ketch", "knarr", "launch", "lighter", "longship", "lugger", "packet", "pinnace",
    "pirogue", "pram", "punt", "quffa", "raft", "sampan", "scow", "schooner", "scull", "shallop", "skiff", "sloop",
    "smack", "snow", "tender", "trireme", "trow", "tug", "umiak", "wherry", "xebec", "yacht", "yawl",
];

/// A name made from random bytes: about five thousand pairs, and a number from the sixth attempt on.
pub fn from_random(bytes: [u8; 32], attempt: u8) -> Option<ContainerName> {
    let pick = |words: &[&'static str], at: usize| {
        words[usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]])) % words.len()]
    };
    let (quality, boat) = (pick(QUALITIES, 0), pick(BOATS, 2));
    let name = match attempt {
        0..=4 => format!("{quality}_{boat}"),
        _ => format!("{quality}_{boat}{}", u16::from_le_bytes([bytes[4], bytes[5]])),
    };
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_a_name() {
        for quality in QUALITIES {
            for boat in BOATS {
                assert!(format!("{quality}_{boat}65535").parse::<ContainerName>().is_ok());
            }
        }
        assert_eq!(from_random([0; 32], 0).unwrap().as_str(), "able_barge");
    }
}

//! Jupyter's messages, as they lie in ZeroMQ's frames.
//! <https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol>
use ring::hmac;
use serde_json::Value;
use zeromq::ZmqMessage;

/// Stands between whom a message goes to and its signature.
const DELIMITER: &[u8] = b"<IDS|MSG>";

/// Where the parts stand, behind the signature.
pub const HEADER: usize = 1;
pub const PARENT: usize = 2;
pub const CONTENT: usize = 4;

/// Where the parts of a message begin: the signature, then header, parent's header, metadata and content.
fn signature_at(message: &ZmqMessage) -> Option<usize> {
    let delimiter = message.iter().position(|frame| &frame[..] == DELIMITER)?;
    (message.len() > delimiter + 1 + CONTENT).then_some(delimiter + 1)
}

pub fn part(message: &ZmqMessage, at: usize) -> Option<Value> {
    serde_json::from_slice(message.get(signature_at(message)? + at)?).ok()
}

/// The kind of the message that this header belongs to.
pub fn kind(message: &ZmqMessage, header: usize) -> Option<String> {
    Some(part(message, header)?["msg_type"].as_str()?.to_owned())
}

/// The key that the messages of a kernel are signed with, if they are.
pub struct Key(Option<hmac::Key>);

impl Key {
    pub fn new(key: &str) -> Self {
        let signs = !key.is_empty();
        Key(signs.then(|| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))
    }

    /// In hexadecimal digits.
    fn sign<B: AsRef<[u8]>>(&self, parts: &[B]) -> Vec<u8> {
        let Some(key) = &self.0 else {
            return Vec::new();
        };
        let mut signed = hmac::Context::with_key(key);
        for part in parts {
            signed.update(part.as_ref());
        }
        let tag = signed.sign();
        let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<String>().into_bytes()
    }

    /// Whether who sent this message knows the key.
    pub fn has_signed(&self, message: &ZmqMessage) -> bool {
        let Some(key) = &self.0 else { return true };
        let is_right = |signature: usize| {
            let digits = message.get(signature)?.chunks(2);
            let tag = digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
            let tag: Vec<u8> = tag.collect::<Option<_>>()?;
            let parts = message.iter().skip(signature + HEADER);
            let signed = parts.take(CONTENT).flat_map(|part| part.iter().copied());
            hmac::verify(key, &signed.collect::<Vec<u8>>(), &tag).ok()
        };
        signature_at(message).and_then(is_right).is_some()
    }

    /// A reply to whoever sent this request.
    pub fn reply(&self, request: &ZmqMessage, kind: &str, content: &Value) -> Option<ZmqMessage> {
        let signature = signature_at(request)?;
        let old = request.get(signature + HEADER)?;
        let mut header: Value = serde_json::from_slice(old).ok()?;
        header["msg_type"] = kind.into();
        header["msg_id"] = uuid::Uuid::new_v4().to_string().into();
        let parts = [
            header.to_string().into_bytes(),
            old.to_vec(),
            b"{}".to_vec(),
            content.to_string().into_bytes(),
        ];
        let mut frames = request.clone().into_vec();
        frames.truncate(signature);
        frames.push(self.sign(&parts).into());
        frames.extend(parts.map(Into::into));
        ZmqMessage::try_from(frames).ok()
    }

    /// What all are told about this request.
    pub fn publication(
        &self,
        request: &ZmqMessage,
        kind: &str,
        content: &Value,
    ) -> Option<ZmqMessage> {
        let reply = self.reply(request, kind, content)?;
        let delimiter = signature_at(&reply)? - 1;
        ZmqMessage::try_from(reply.into_vec().split_off(delimiter)).ok()
    }

    /// The message with another content.
    pub fn with_content(&self, message: ZmqMessage, content: &Value) -> ZmqMessage {
        let Some(signature) = signature_at(&message) else {
            return message;
        };
        let mut frames = message.into_vec();
        frames[signature + CONTENT] = content.to_string().into_bytes().into();
        frames[signature] = self
            .sign(&frames[signature + HEADER..=signature + CONTENT])
            .into();
        ZmqMessage::try_from(frames).expect("it has frames")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(frames: impl IntoIterator<Item = String>) -> ZmqMessage {
        let mut message = ZmqMessage::from("who asks");
        for frame in frames {
            message.push_back(frame.into());
        }
        message
    }

    fn request(key: &Key) -> ZmqMessage {
        let header = json!({"msg_type": "execute_request", "msg_id": "1", "session": "s"});
        let parts = [header.to_string(), "{}".into(), "{}".into(), "{}".into()];
        let signature = String::from_utf8(key.sign(&parts)).unwrap();
        message(["<IDS|MSG>".to_owned(), signature].into_iter().chain(parts))
    }

    #[test]
    fn only_who_knows_the_key_has_signed() {
        let (key, other, none) = (Key::new("a"), Key::new("b"), Key::new(""));
        for (by, signed) in [(&key, true), (&other, false), (&none, false)] {
            assert_eq!(key.has_signed(&request(by)), signed);
        }
        assert!(none.has_signed(&request(&key)));
        let garbled = message(["<IDS|MSG>", "xy", "{}", "{}", "{}", "{}"].map(str::to_owned));
        assert!(!key.has_signed(&garbled) && !key.has_signed(&message([])));
    }

    #[test]
    fn a_reply_goes_to_who_asked_and_a_publication_to_all() {
        let key = Key::new("a");
        let content = json!({"status": "ok"});
        let reply = key.reply(&request(&key), "execute_reply", &content);
        let all = key.publication(&request(&key), "status", &content);
        for (message, first, its_kind) in [
            (reply.unwrap(), "who asks", "execute_reply"),
            (all.unwrap(), "<IDS|MSG>", "status"),
        ] {
            assert_eq!(&message.get(0).unwrap()[..], first.as_bytes());
            assert_eq!(kind(&message, HEADER).unwrap(), its_kind);
            assert_eq!(kind(&message, PARENT).unwrap(), "execute_request");
            assert_eq!(part(&message, CONTENT).unwrap(), content);
            assert!(key.has_signed(&message));
            assert!(key.has_signed(&key.with_content(message, &json!(1))));
        }
    }
}

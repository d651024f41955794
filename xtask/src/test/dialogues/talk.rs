//! One dialogue with one broker: its connections, what is sent on them, what comes back.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::codec::Codec;
use super::members::Member;
use super::notation::{self, Node, hex, message_lines};
use super::script::{Dialogue, What};
use super::words::Words;

/// No answer of any dialogue takes a broker this long.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
pub(super) const SETTLE_LIMIT: Duration = Duration::from_secs(20);
pub(super) const SETTLE_POLL: Duration = Duration::from_millis(10);
/// Longer frames are no answer to what dialogues ask.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Who is spoken to.
pub(super) struct Partner<'a> {
    pub(super) address: &'a str,
    /// Whether what was answered is known everywhere at once.
    pub(super) prompt: bool,
}

/// The answers that a broker gave, by the step that receives each: as text, indented as in a file.
pub(super) type Answers = BTreeMap<usize, String>;

/// Speaks all steps.
///
/// # Errors
/// If a step could not be spoken, or the broker kept silent; names the step.
pub(super) fn speak(
    codec: &Codec,
    dialogue: &Dialogue,
    partner: &Partner<'_>,
    now: i64,
    unique: &str,
) -> Result<Answers, String> {
    let mut talk = Talk {
        codec,
        partner,
        words: Words::new(now, unique),
        connections: BTreeMap::new(),
        last: None,
        members: Vec::new(),
    };
    let mut answers = Answers::new();
    for (index, step) in dialogue.steps.iter().enumerate() {
        if let Some(answer) = talk
            .step(&step.what)
            .map_err(|why| format!("{}: {why}", step.at))?
        {
            answers.insert(index, answer);
        }
    }
    Ok(answers)
}

pub(super) struct Talk<'a> {
    codec: &'a Codec,
    pub(super) partner: &'a Partner<'a>,
    pub(super) words: Words,
    connections: BTreeMap<String, Connection>,
    /// The last answer, by its API and version.
    last: Option<(String, i16, Vec<u8>)>,
    pub(super) members: Vec<Member>,
}

struct Connection {
    stream: TcpStream,
    correlation: i32,
    /// What was asked and not answered yet.
    asked: VecDeque<Asked>,
}

/// How an answer is to be read.
pub(super) struct Asked {
    pub(super) api: String,
    version: i16,
    header_flexible: bool,
    correlation: i32,
    /// What stands before the UUID in an id that a member is given: its instance, or its client's id.
    pub(super) owner: String,
    /// The id that it has.
    pub(super) member: String,
}

impl Talk<'_> {
    fn step(&mut self, what: &What) -> Result<Option<String>, String> {
        match what {
            What::Topic { name, settings } => self.topic(name, settings)?,
            What::Pid { name } => self.pid(name)?,
            What::Send { connection, text } => {
                if !self.partner.prompt && text.contains("@settle=true") {
                    self.until_well(text)?;
                }
                self.send(connection, text)?;
            }
            What::Raw { connection, text } => {
                let bytes = hex(text)?;
                self.connection(connection)?
                    .stream
                    .write_all(&bytes)
                    .map_err(|e| e.to_string())?;
            }
            What::Close { connection } => drop(self.connections.remove(connection)),
            What::Receive { connection, .. } => return self.receive(connection).map(Some),
            What::Bind { name, path } => self.bind(name, path)?,
            What::Await { topic, gone } => self.settle(topic, *gone)?,
            What::Group { name } => self.group(name)?,
            What::Member {
                connection,
                group,
                fields,
            } => self.bring_member(connection, group, fields)?,
            What::State {
                group,
                state,
                members,
            } => self.until_state(group, state, *members)?,
            What::Wait { ms } => thread::sleep(Duration::from_millis(*ms)),
        }
        Ok(None)
    }

    fn topic(&mut self, name: &str, settings: &[(String, String)]) -> Result<(), String> {
        let topic = format!("{name}-{}", self.words.get("u")?);
        let mut partitions = 1.to_string();
        let mut configs = Vec::new();
        for (name, value) in settings {
            match name.as_str() {
                "partitions" => partitions.clone_from(value),
                _ => configs.push(format!("{{Name={name} Value=\"{value}\"}}")),
            }
        }
        let request = format!(
            "Topics=[{{Name={topic} NumPartitions={partitions} ReplicationFactor=1 Configs=[{}]}}] TimeoutMs=30000",
            configs.join(" ")
        );
        let answer = self.ask("CreateTopics", 5, &request)?;
        if answer.contains("ErrorCode") {
            return Err(format!("{name} was not created: {answer}"));
        }
        self.words.bind(name, topic);
        self.settle(name, false)
    }

    /// Asks until the answer has no error: Kafka makes coordinators when somebody asks for them.
    pub(super) fn until_well(&mut self, text: &str) -> Result<(), String> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        loop {
            self.send("runner", text)?;
            let answer = self.receive("runner")?;
            if !answer.contains("ErrorCode") {
                return Ok(());
            }
            if self.partner.prompt || Instant::now() > deadline {
                return Err(format!("did not settle: {answer}"));
            }
            thread::sleep(SETTLE_POLL);
        }
    }

    /// Kafka must fetch its first block of ids, and says so until then.
    fn pid(&mut self, name: &str) -> Result<(), String> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        loop {
            let answer = self.ask("InitProducerId", 4, "TransactionalId=null")?;
            if !answer.contains("ErrorCode") {
                return self.bind(name, "ProducerId");
            }
            if self.partner.prompt || Instant::now() > deadline {
                return Err(format!("no producer id: {answer}"));
            }
            thread::sleep(SETTLE_POLL);
        }
    }

    /// Until the topic has a leader that answers for every partition, and its id is known; or until nobody knows it.
    fn settle(&mut self, name: &str, gone: bool) -> Result<(), String> {
        let topic = self.words.get(name)?.to_owned();
        let deadline = Instant::now() + SETTLE_LIMIT;
        let question = format!("Topics=[{{TopicId=0 Name={topic}}}] AllowAutoTopicCreation=false");
        for turn in 0.. {
            let metadata = self.ask("Metadata", 12, &question)?;
            let unknown = metadata.contains("UNKNOWN_TOPIC_OR_PARTITION");
            let settled = if gone || unknown {
                gone && unknown
            } else {
                self.bind(&format!("{name}_id"), "Topics.0.TopicId")?;
                !metadata.contains("ErrorCode") && self.leads(&topic)?
            };
            if settled {
                return Ok(());
            }
            if self.partner.prompt && turn > 0 {
                return Err(format!("{name} was not settled at once: {metadata}"));
            }
            if Instant::now() > deadline {
                break;
            }
            thread::sleep(SETTLE_POLL);
        }
        Err(format!("{name} did not settle in {SETTLE_LIMIT:?}"))
    }

    /// Whether every partition of the last Metadata answers for itself.
    fn leads(&mut self, topic: &str) -> Result<bool, String> {
        let Node::List(partitions) = self.found("Topics.0.Partitions")? else {
            return Err("Metadata without partitions".into());
        };
        let partitions: Vec<String> = (0..partitions.len())
            .map(|index| format!("{{PartitionIndex={index} Timestamp=-1}}"))
            .collect();
        let request = format!(
            "ReplicaId=-1 Topics=[{{Name={topic} Partitions=[{}]}}]",
            partitions.join(" ")
        );
        Ok(!partitions.is_empty() && !self.ask("ListOffsets", 7, &request)?.contains("ErrorCode"))
    }

    /// One question on a connection of the runner's own, answered in one line.
    pub(super) fn ask(&mut self, api: &str, version: i16, text: &str) -> Result<String, String> {
        let own = "runner";
        self.send(own, &format!("{api} v{version} {text}"))?;
        let answer = self.receive(own)?;
        if answer.trim() == "closed" {
            return Err(format!(
                "the broker closed the runner's connection on {api}"
            ));
        }
        Ok(answer)
    }

    fn connection(&mut self, name: &str) -> Result<&mut Connection, String> {
        if !self.connections.contains_key(name) {
            let stream = TcpStream::connect(self.partner.address)
                .map_err(|e| format!("{}: {e}", self.partner.address))?;
            stream
                .set_nodelay(true)
                .and_then(|()| stream.set_read_timeout(Some(ANSWER_LIMIT)))
                .map_err(|e| e.to_string())?;
            self.connections.insert(
                name.to_owned(),
                Connection {
                    stream,
                    correlation: 0,
                    asked: VecDeque::new(),
                },
            );
        }
        self.connections
            .get_mut(name)
            .ok_or_else(|| "a connection that was just made".into())
    }

    /// `Api vN field=value…`, and fields that begin with `@` for what stands around the body.
    pub(super) fn send(&mut self, connection: &str, text: &str) -> Result<(), String> {
        let mut words = text.split_whitespace();
        let api = words.next().ok_or("nothing to send")?.to_owned();
        let is_version = |word: &&str| {
            word.strip_prefix('v')
                .is_some_and(|digits| digits.parse::<i16>().is_ok())
        };
        // The last one wins, as with fields.
        let version = words
            .clone()
            .rfind(is_version)
            .and_then(|word| word[1..].parse::<i16>().ok());
        let version = version.ok_or("a request has a version: `v9`")?;
        let rest: String = text[api.len()..]
            .split_inclusive(' ')
            .filter(|word| !is_version(&word.trim_end()))
            .collect();
        let mut fields = notation::fields(&rest)?;
        let around: BTreeMap<String, Node> = fields
            .extract_if(.., |(name, _)| name.starts_with('@'))
            .collect();
        let number = |name: &str, otherwise: i16| -> Result<i16, String> {
            let found = around
                .get(name)
                .map(|node| self.words.number(node))
                .transpose()?;
            Ok(found.map_or(otherwise, |found| found as i16))
        };
        let sent_version = number("@version", version)?;
        let answer_version = number("@answer", version)?;
        let key = number("@key", self.codec.key(&api)?)?;
        let mut body = match around.get("@body") {
            Some(node) => self.words.bytes(node)?,
            None => self.codec.request(&api, version, &fields, &self.words)?,
        };
        let cut = usize::try_from(number("@cut", 0)?).map_err(|e| e.to_string())?;
        body.truncate(body.len().saturating_sub(cut));
        if let Some(node) = around.get("@more") {
            body.extend(self.words.bytes(node)?);
        }
        let client = match around.get("@client") {
            Some(node) if self.words.is_null(node) => None,
            Some(node) => Some(self.words.bytes(node)?),
            None => Some(b"dialogue".to_vec()),
        };
        let text = |name: &str| {
            let given = fields.iter().rfind(|(field, _)| field == name);
            given
                .filter(|(_, node)| !self.words.is_null(node))
                .map(|(_, node)| self.words.bytes(node))
                .transpose()
        };
        let owner = text("GroupInstanceId")?.or_else(|| client.clone());
        let owner = String::from_utf8_lossy(&owner.unwrap_or_default()).into_owned();
        let member = text("MemberId")?.unwrap_or_default();
        let member = String::from_utf8_lossy(&member).into_owned();
        let flexible = self.codec.flexible(&api, version);
        let split = usize::try_from(number("@split", 0)?).map_err(|e| e.to_string())?;
        let size = around
            .get("@size")
            .map(|node| self.words.number(node))
            .transpose()?;
        let answered = Asked {
            header_flexible: self.codec.flexible(&api, answer_version) && api != "ApiVersions",
            api,
            version: answer_version,
            correlation: 0,
            owner,
            member,
        };

        let connection = self.connection(connection)?;
        connection.correlation += 1;
        let mut frame = Vec::new();
        frame.extend(key.to_be_bytes());
        frame.extend(sent_version.to_be_bytes());
        frame.extend(connection.correlation.to_be_bytes());
        frame.extend(
            client
                .as_ref()
                .map_or(-1, |client| client.len() as i16)
                .to_be_bytes(),
        );
        frame.extend(client.unwrap_or_default());
        if flexible {
            frame.push(0);
        }
        frame.extend(body);
        let size = size.unwrap_or(frame.len() as i64) as i32;
        let mut bytes = size.to_be_bytes().to_vec();
        bytes.extend(frame);
        connection.asked.push_back(Asked {
            correlation: connection.correlation,
            ..answered
        });
        let (head, rest) = bytes.split_at(split.min(bytes.len()));
        let written = connection.stream.write_all(head);
        // A broker that has closed already shows that in what is read.
        match written.and_then(|()| connection.stream.write_all(rest)) {
            Err(e) if !matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Err(e.to_string())
            }
            _ => Ok(()),
        }
    }

    /// The next answer, as it stands in a file behind the `<`.
    pub(super) fn receive(&mut self, name: &str) -> Result<String, String> {
        let connection = self.connection(name)?;
        if connection.asked.is_empty() {
            // What answers raw bytes need not be a frame: all of it, until the broker closes.
            let said = connection.rest()?;
            self.connections.remove(name);
            return Ok(match said.split(|byte| *byte == b'\r').next() {
                Some(line) if !line.is_empty() => {
                    format!(" Text={}", Node::Text(line.to_vec()).line())
                }
                _ => " closed".into(),
            });
        }
        let Some(frame) = connection.frame()? else {
            let _ = connection.stream.shutdown(Shutdown::Both);
            self.connections.remove(name);
            return Ok(" closed".into());
        };
        let correlation = frame
            .get(..4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes);
        let correlation = correlation.ok_or("an answer without a header")?;
        // Requests that nobody answers (acks=0) are passed over.
        let asked = loop {
            let asked = connection
                .asked
                .pop_front()
                .ok_or("an answer that nobody asked for")?;
            if asked.correlation == correlation {
                break asked;
            }
        };
        let mut at = 4;
        if asked.header_flexible {
            if frame.get(4) != Some(&0) {
                return Err("tagged fields in the header of an answer".into());
            }
            at = 5;
        }
        let body = frame[at..].to_vec();
        self.last = Some((asked.api.clone(), asked.version, body.clone()));
        self.learn_member(name, &asked)?;
        let fields = self
            .codec
            .response(&asked.api, asked.version, &body, &self.words);
        Ok(message_lines(&fields?, 4))
    }

    fn bind(&mut self, name: &str, path: &str) -> Result<(), String> {
        let text = match self.found(path)? {
            Node::Text(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            node => node.line(),
        };
        self.words.bind(name, text);
        Ok(())
    }

    /// A field of the last answer: `Topics.0.TopicId`.
    pub(super) fn found(&self, path: &str) -> Result<Node, String> {
        let (api, version, body) = self.last.as_ref().ok_or("nothing was answered")?;
        let fields = self.codec.plain(api, *version, body, &self.words)?;
        let mut node = Node::Struct {
            tag: String::new(),
            fields,
        };
        for step in path.split('.') {
            let next = match &node {
                Node::List(items) => step
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index)),
                node => node.field(step),
            };
            node = next
                .cloned()
                .ok_or_else(|| format!("no `{step}` of `{path}` in the answer"))?;
        }
        Ok(node)
    }
}

impl Connection {
    /// `None` if the broker closed the connection.
    fn frame(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut size = [0; 4];
        if !self.fill(&mut size)? {
            return Ok(None);
        }
        let size = usize::try_from(i32::from_be_bytes(size))
            .ok()
            .filter(|size| *size <= FRAME_BYTES_MAX);
        let mut frame = vec![0; size.ok_or("an answer of a size that cannot be")?];
        Ok(self.fill(&mut frame)?.then_some(frame))
    }

    fn rest(&mut self) -> Result<Vec<u8>, String> {
        let mut said = Vec::new();
        match self.stream.read_to_end(&mut said) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err("the broker kept silent".into())
            }
            // A reset ends it, too.
            _ => Ok(said),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, String> {
        match self.stream.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ) =>
            {
                Ok(false)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err("the broker kept silent".into())
            }
            Err(e) => Err(e.to_string()),
        }
    }
}

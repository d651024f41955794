//! Topics that come and go: what was answered holds after every kill.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use ottla_e2e::random::Random;
use ottla_model::uuid::Uuid;
use ottla_testkit::wire_client::{LATEST, TopicInfo, WireClient, WireError};

use crate::Event;

/// Names in use: few, so that most are created and deleted many times.
const NAMES: u64 = 24;
const PARTITIONS_MAX: u64 = 8;
/// Between two requests, so that the producers get the disk too.
const PAUSE: Duration = Duration::from_millis(4);

/// What is known of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Created, and so answered (or found after a kill).
    Exists { id: Uuid, partitions: usize },
    /// Asked for, not answered: either way is right.
    Creating { partitions: usize },
    /// The same for its deletion.
    Deleting { id: Uuid, partitions: usize },
    /// Deleted, and so answered (or found missing).
    Gone,
}

/// A request that was not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unanswered {
    Nothing,
    Create,
    Delete,
}

/// All topics of one churner, across all kills.
pub(crate) struct Churn {
    random: Random,
    topics: BTreeMap<String, State>,
    /// Every id that was ever seen: none comes twice.
    ids: BTreeMap<Uuid, String>,
    pub(crate) created: u64,
    pub(crate) deleted: u64,
}

impl Churn {
    pub(crate) fn new(seed: u64) -> Churn {
        Churn {
            random: Random::new(seed ^ 0xc4a5),
            topics: BTreeMap::new(),
            ids: BTreeMap::new(),
            created: 0,
            deleted: 0,
        }
    }

    /// Creates and deletes until the broker is gone.
    ///
    /// # Errors
    /// Anything that a broker may not answer.
    pub(crate) fn run(
        &mut self,
        address: &str,
        events: &Sender<Event>,
    ) -> Result<Unanswered, String> {
        let mut client = match WireClient::connect(address) {
            Ok(client) => client,
            Err(WireError::Closed) => return Ok(Unanswered::Nothing),
            Err(error) => return Err(error.to_string()),
        };
        loop {
            let name = format!("churn-{}", self.random.below(NAMES));
            let state = self.topics.get(&name).copied().unwrap_or(State::Gone);
            let (asked, outcome) = match state {
                State::Gone => (Unanswered::Create, self.create(&mut client, &name, events)),
                State::Exists { id, partitions } => (
                    Unanswered::Delete,
                    self.delete(&mut client, &name, id, partitions),
                ),
                state => return Err(format!("{name} is {state:?} while nothing is asked")),
            };
            match outcome {
                Ok(outcome) => outcome?,
                Err(WireError::Closed) => return Ok(asked),
                Err(error) => return Err(format!("{name}: {error}")),
            }
            thread::sleep(PAUSE);
        }
    }

    /// Holds what the broker says against what was answered, and learns what became of the rest.
    ///
    /// # Errors
    /// What does not hold.
    pub(crate) fn check(&mut self, client: &mut WireClient) -> Result<(), String> {
        let listed = client.metadata(None).map_err(|error| error.to_string())?;
        let listed: BTreeMap<String, TopicInfo> = listed
            .into_iter()
            .map(|topic| (topic.name.clone(), topic))
            .collect();
        if let Some(name) = listed
            .keys()
            .find(|name| name.starts_with("churn-") && !self.topics.contains_key(*name))
        {
            return Err(format!("{name} exists and was never asked for"));
        }
        let mut learned = Vec::new();
        for (name, state) in &mut self.topics {
            let now = listed
                .get(name)
                .map(|topic| (topic.id, topic.partitions.len()));
            let holds = match (*state, now) {
                (
                    State::Exists { id, partitions } | State::Deleting { id, partitions },
                    Some(now),
                ) => now == (id, partitions),
                (State::Creating { partitions }, Some((_, now))) => now == partitions,
                (State::Gone | State::Creating { .. } | State::Deleting { .. }, None) => true,
                (State::Exists { .. }, None) | (State::Gone, Some(_)) => false,
            };
            if !holds {
                return Err(format!(
                    "{name} is {state:?}, but after the restart {now:?}"
                ));
            }
            if let (State::Creating { .. }, Some((id, _))) = (*state, now) {
                learned.push((name.clone(), id));
            }
            *state = now.map_or(State::Gone, |(id, partitions)| State::Exists {
                id,
                partitions,
            });
        }
        for (name, id) in learned {
            self.note_id(&name, id)?;
        }
        for (name, state) in &self.topics {
            let State::Exists { partitions, .. } = *state else {
                continue;
            };
            for partition in 0..partitions as i32 {
                let latest = client
                    .list_offset(name, partition, LATEST)
                    .map_err(|error| error.to_string())?;
                if (latest.error_code, latest.offset) != (0, 0) {
                    return Err(format!("{name}-{partition} exists and answers {latest:?}"));
                }
            }
        }
        Ok(())
    }

    fn create(
        &mut self,
        client: &mut WireClient,
        name: &str,
        events: &Sender<Event>,
    ) -> Result<Result<(), String>, WireError> {
        let partitions = self.random.between(1, PARTITIONS_MAX) as usize;
        self.topics
            .insert(name.to_owned(), State::Creating { partitions });
        let pending = client.send_create_topic(name, partitions as i32, &[])?;
        let _ = events.send(Event::CreateSent);
        let answer = client.receive_created(pending)?;
        if answer.error_code != 0 {
            return Ok(Err(format!("create {name}: {answer:?}")));
        }
        self.topics.insert(
            name.to_owned(),
            State::Exists {
                id: answer.id,
                partitions,
            },
        );
        self.created += 1;
        Ok(self.note_id(name, answer.id))
    }

    fn delete(
        &mut self,
        client: &mut WireClient,
        name: &str,
        id: Uuid,
        partitions: usize,
    ) -> Result<Result<(), String>, WireError> {
        self.topics
            .insert(name.to_owned(), State::Deleting { id, partitions });
        let error_code = client.delete_topic(name)?;
        if error_code != 0 {
            return Ok(Err(format!("delete {name}: error {error_code}")));
        }
        self.topics.insert(name.to_owned(), State::Gone);
        self.deleted += 1;
        Ok(Ok(()))
    }

    fn note_id(&mut self, name: &str, id: Uuid) -> Result<(), String> {
        match self.ids.insert(id, name.to_owned()) {
            Some(before) => Err(format!("{name} has the id {id}, which {before} had")),
            None if id.is_zero() => Err(format!("{name} has no id")),
            None => Ok(()),
        }
    }
}

//! Random consumers of the next-generation protocol in one group: some follow the protocol, some do as
//! they like. After every step what must hold does ([`invariants`]); who follows the protocol keeps a
//! partition until it gave it up, and nobody else gets it before; when the others are gone, those that
//! follow it share all partitions.

use super::*;
use crate::group::consumer::assignor::Partitions;
use crate::group::consumer::{ConsumerBeat, ConsumerHeartbeat, Owned};
use crate::testing::Random;

/// Clients that follow the protocol; the rest does as it likes.
const GOOD: usize = 3;
const CLIENTS: usize = 6;
const TOPICS: [&str; 3] = ["t", "u", "v"];

struct Client {
    member: MemberId,
    instance: Option<InstanceId>,
    epoch: i32,
    /// What it is to read, and tells with its next heartbeat.
    owned: Partitions,
    /// What it reads: also what it was told to give up, until it tells that it did.
    reads: Partitions,
    /// What it says anew with its next heartbeat.
    says: bool,
    act_at: MonoMs,
    waits: Option<Ticket>,
    follows: bool,
}

struct World {
    rig: Rig,
    random: Random,
    clients: Vec<Client>,
    asked: BTreeMap<Ticket, usize>,
    seed: u64,
}

#[test]
fn random_consumers_share_what_there_is() {
    let seeds = std::env::var("OTTLA_SEEDS").map_or(25, |count| count.parse().unwrap());
    for seed in 1..=seeds {
        std::println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.step();
        }
        world.settle();
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let mut rig = Rig::new();
        rig.settings = Arc::new(Settings {
            consumer_session_timeout_ms: 10_000,
            consumer_assignment_interval_ms: random.one_of(&[0, 0, 1000]),
            consumer_members_max: random.one_of(&[i32::MAX as usize, 5]),
            disconnect_grace_ms: random.one_of(&[None, Some(500)]),
            regex_refresh_ms_min: random.one_of(&[0, 2000]),
            ..Settings::default()
        });
        rig.by_assignor = random.below(2) == 0;
        for name in TOPICS {
            let partitions = 1 + random.below(4) as i32;
            rig.set_topic(name, super::script::topic_id(name), partitions);
        }
        let client = |index: usize| Client {
            member: MemberId::from(&*std::format!("m{index}")),
            instance: (index == 1 || index == CLIENTS - 1)
                .then(|| InstanceId::from(&*std::format!("i{index}"))),
            epoch: 0,
            owned: Partitions::new(),
            reads: Partitions::new(),
            says: true,
            act_at: MonoMs(0),
            waits: None,
            follows: index < GOOD,
        };
        World {
            rig,
            random,
            clients: (0..CLIENTS).map(client).collect(),
            asked: BTreeMap::new(),
            seed,
        }
    }

    fn step(&mut self) {
        self.follow();
        let other = GOOD + self.random.below((CLIENTS - GOOD) as u64) as usize;
        match self.random.below(29) {
            0..=3 => self.beat(other, 0),
            4..=8 => self.beat(other, self.clients[other].epoch),
            9 => {
                let epoch = self.random.below(6) as i32 - 3;
                self.beat(other, epoch);
            }
            10 => {
                let epoch = self.random_epoch_of_leaving(other);
                self.beat(other, epoch);
            }
            11 => {
                let names = ["m3", "m4", "m5", "x", "nobody"];
                let member = self.random.one_of(&names);
                self.clients[other].member = MemberId::from(member);
            }
            12 => self.commit(other),
            13 => {
                let name = self.random.one_of(&TOPICS);
                let partitions = self.random.below(5) as i32;
                let id = self.random.one_of(&[name, "another"]);
                self.rig
                    .set_topic(name, super::script::topic_id(id), partitions);
            }
            14 if self.random.below(3) == 0 => self.restart(),
            15 => {
                let request = match self.random.below(5) {
                    0 => Request::DeleteGroup(group()),
                    1 => Request::Ask(Query::DescribeConsumer {
                        group: group(),
                        topics: Arc::clone(&self.rig.topics) as Arc<dyn Topics>,
                    }),
                    2 => Request::DeleteOffsets(DeleteOffsets {
                        group: group(),
                        topics: alloc::vec![(Arc::from("t"), alloc::vec![0, 1])],
                    }),
                    3 => Request::ConnectionClosed {
                        group: group(),
                        connection: ConnectionId(other as u64),
                    },
                    _ => Request::Ask(Query::List(ListFilter::default())),
                };
                self.ask(other, request);
            }
            16 | 17 => self.rig.holds_effects = true,
            18 | 19 => {
                self.rig.holds_effects = false;
                let left = self.rig.perform_effects();
                self.hear(left);
            }
            24..=28 => self.classic(other),
            20 => {
                // One that follows has another wish.
                let index = self.random.below(GOOD as u64) as usize;
                self.clients[index].says = true;
            }
            _ => {
                let ms = self.random.one_of(&[1, 100, 700, 1500]);
                self.advance(ms);
            }
        }
        self.follow();
    }

    fn random_epoch_of_leaving(&mut self, index: usize) -> i32 {
        match self.clients[index].instance {
            Some(_) => self.random.one_of(&[-1, -2]),
            None => -1,
        }
    }

    /// The others are gone; time passes; topics are there.
    fn settle(&mut self) {
        self.rig.holds_effects = false;
        let left = self.rig.perform_effects();
        self.hear(left);
        for name in TOPICS {
            self.rig.set_topic(name, super::script::topic_id(name), 3);
        }
        // Those that have no place yet come in when the others are gone.
        for _ in 0..100 {
            self.follow();
            self.advance(500);
        }
        for client in &mut self.clients[..GOOD] {
            client.says = false;
        }
        self.all_subscribe();
        for _ in 0..100 {
            self.follow();
            self.advance(500);
        }
        let seed = self.seed;
        let Kind::Consumer(consumers) = &self.rig.machine.groups[&group()].kind else {
            panic!("seed {seed}: no consumer group");
        };
        assert_eq!(consumers.state(), GroupState::Stable, "seed {seed}");
        let members: BTreeSet<&MemberId> = consumers.members().collect();
        let good = &self.clients[..GOOD];
        let expected: BTreeSet<&MemberId> = good.iter().map(|client| &client.member).collect();
        assert_eq!(members, expected, "seed {seed}: who is in the group");
        let count: usize = good
            .iter()
            .flat_map(|c| c.owned.values())
            .map(Vec::len)
            .sum();
        assert_eq!(count, 3 * TOPICS.len(), "seed {seed}: all is read");
    }

    fn all_subscribe(&mut self) {
        for index in 0..GOOD {
            let (topics, regex) = self.random.one_of(&[(&TOPICS[..], ""), (&[], "*")]);
            self.beat_with(index, Some((topics, regex)));
        }
    }

    /// What those do that follow the protocol: they are alive every 3 s, and do as they are told.
    fn follow(&mut self) {
        for _ in 0..50 {
            let due = (0..GOOD).find(|index| {
                let client = &self.clients[*index];
                client.waits.is_none() && client.act_at <= self.rig.now
            });
            match due {
                None => return,
                Some(index) => {
                    let says = core::mem::take(&mut self.clients[index].says);
                    let wish = says.then(|| self.wish());
                    self.beat_with(index, wish);
                }
            }
        }
        panic!("seed {}: the group does not come to rest", self.seed);
    }

    fn wish(&mut self) -> (&'static [&'static str], &'static str) {
        self.random.one_of(&[
            (&TOPICS[..], ""),
            (&TOPICS[..1], ""),
            (&TOPICS[1..], ""),
            (&[], "*"),
            (&["t"], "u"),
        ])
    }

    /// A heartbeat of one that follows the protocol.
    fn beat_with(&mut self, index: usize, wish: Option<(&[&str], &str)>) {
        let client = &self.clients[index];
        let joins = client.epoch == 0;
        let wish = match wish {
            None if joins => Some(self.wish()),
            wish => wish,
        };
        let client = &mut self.clients[index];
        client.act_at = self.rig.now + 3000;
        client.reads = client.owned.clone();
        let mut request = request(index, client);
        request.topics = Arc::clone(&self.rig.topics) as Arc<dyn Topics>;
        request.owned = Some(client.owned.clone());
        if let Some((topics, regex)) = wish {
            request.subscribed = Some(topics.iter().map(|name| Arc::from(*name)).collect());
            request.regex = Some(Arc::from(regex));
        }
        if joins {
            request.rebalance_timeout_ms = 20_000;
        }
        client.waits = Some(Ticket(self.rig.next_ticket));
        self.ask(index, Request::ConsumerHeartbeat(request));
    }

    /// A heartbeat of one that does as it likes.
    fn beat(&mut self, index: usize, epoch: i32) {
        let random = &mut self.random;
        let mut request = request(index, &self.clients[index]);
        request.epoch = epoch;
        request.topics = Arc::clone(&self.rig.topics) as Arc<dyn Topics>;
        let joins = epoch == 0;
        request.makes_own_id = random.below(4) > 0;
        if joins && random.below(4) == 0 {
            request.member = MemberId::from("");
            request.makes_own_id = false;
        }
        request.assignor = random
            .one_of(&[None, None, Some("range"), Some("uniform")])
            .map(Arc::from);
        request.regex_fault = (random.below(8) == 0).then(|| Arc::from("no expression"));
        if joins || random.below(5) == 0 {
            request.rebalance_timeout_ms = random.one_of(&[0, 1000, 20_000, -1, -7]);
            let topics: &[&str] = random.one_of(&[&TOPICS[..], &TOPICS[..1], &[], &["nowhere"]]);
            request.subscribed = Some(topics.iter().map(|name| Arc::from(*name)).collect());
            request.regex = random
                .one_of(&[None, None, Some("t"), Some("*"), Some("")])
                .map(Arc::from);
        }
        request.owned = match random.below(4) {
            _ if joins => Some(Partitions::new()),
            0 => None,
            1 => Some(Partitions::new()),
            2 => Some([(super::script::topic_id("t"), alloc::vec![0, 1])].into()),
            _ => Some(self.clients[index].owned.clone()),
        };
        self.ask(index, Request::ConsumerHeartbeat(request));
    }

    /// A request of the classic protocol.
    fn classic(&mut self, index: usize) {
        let random = &mut self.random;
        let client = &self.clients[index];
        let (group, connection) = (group(), ConnectionId(index as u64));
        let is_new = random.below(4) == 0;
        let member = if is_new {
            MemberId::from("")
        } else {
            client.member.clone()
        };
        let instance = client.instance.clone();
        let generation = client.epoch;
        let topics = Arc::clone(&self.rig.topics) as Arc<dyn Topics>;
        let request = match random.below(8) {
            0..=3 => {
                let names: &[&str] = random.one_of(&[&TOPICS[..], &TOPICS[..1], &[]]);
                let metadata = super::script::subscription(names);
                let protocols: &[&str] = random.one_of(&[&["range"], &["sticky", "range"], &["x"]]);
                let protocols = protocols.iter().map(|name| Protocol {
                    name: Arc::from(*name),
                    metadata: metadata.clone(),
                });
                Request::Join(Join {
                    group,
                    member,
                    instance,
                    client_id: Arc::from("c"),
                    client_host: Arc::from("/127.0.0.1"),
                    connection,
                    session_timeout_ms: 10_000,
                    rebalance_timeout_ms: random.one_of(&[0, 5000, -1]),
                    protocol_type: Arc::from(random.one_of(&["consumer", "consumer", "connect"])),
                    protocols: protocols.collect(),
                    member_id_required: random.below(2) == 0,
                    may_skip_assignment: true,
                    topics,
                })
            }
            4 | 5 => Request::Sync(Sync {
                group,
                assignments: alloc::vec![(member.clone(), bytes::Bytes::new())],
                member,
                instance,
                generation,
                protocol_type: None,
                protocol: None,
                connection,
                topics,
            }),
            6 => Request::Heartbeat(Heartbeat {
                group,
                member,
                instance,
                generation,
                connection,
            }),
            _ => Request::Leave(Leave {
                group,
                members: alloc::vec![Leaving { member, instance }],
            }),
        };
        self.ask(index, request);
    }

    fn commit(&mut self, index: usize) {
        let generation = self.random.one_of(&[-1, self.clients[index].epoch, 2]);
        let request = Request::CommitOffsets(CommitOffsets {
            group: group(),
            member: self.clients[index].member.clone(),
            instance: None,
            generation,
            knows_epochs: self.random.below(4) > 0,
            retention_ms: None,
            topics: alloc::vec![CommitTopic {
                name: Arc::from("t"),
                topic_id: super::script::topic_id("t"),
                partitions: alloc::vec![CommitPartition {
                    partition: self.random.below(3) as i32,
                    offset: 5,
                    leader_epoch: 0,
                    metadata: Arc::from("m"),
                }],
            }],
        });
        self.ask(index, request);
    }

    fn restart(&mut self) {
        self.asked.clear();
        for client in &mut self.clients {
            if client.waits.take().is_some() {
                client.act_at = self.rig.now;
            }
        }
        let left = self.rig.restart();
        self.hear(left);
    }

    fn advance(&mut self, ms: u64) {
        for (_, left) in self.rig.advance(ms) {
            self.hear(alloc::vec![left]);
        }
    }

    fn ask(&mut self, index: usize, request: Request) {
        self.asked.insert(Ticket(self.rig.next_ticket), index);
        let (_, left) = self.rig.ask(request);
        self.hear(left);
    }

    fn hear(&mut self, left: Vec<Left>) {
        for left in left {
            if let Some(index) = self.asked.remove(&left.to) {
                self.hear_one(index, left);
            }
        }
        self.check_owners();
    }

    fn hear_one(&mut self, index: usize, left: Left) {
        let seed = self.seed;
        let now = self.rig.now;
        let client = &mut self.clients[index];
        if client.waits == Some(left.to) {
            client.waits = None;
        }
        match left.value {
            Ok(Answer::Beat(beat)) if client.follows => {
                assert!(beat.epoch >= client.epoch, "seed {seed}: epochs only grow");
                client.take(&beat);
                if beat.assignment.is_some() {
                    // What it gave up it tells at once.
                    client.act_at = now;
                }
            }
            Ok(Answer::Beat(beat)) => {
                client.member = beat.member.clone();
                client.take(&beat);
            }
            // It was away for too long, or others fill the group.
            Err(Refusal::UnknownMember | Refusal::UnknownInstance | Refusal::FencedEpoch(_))
                if client.follows =>
            {
                panic!("seed {seed}: m{index} is fenced");
            }
            Err(Refusal::GroupFull | Refusal::CannotUpgrade(_)) if client.follows => {
                client.act_at = now + 500;
            }
            Ok(Answer::Joined(joined)) => {
                client.member = joined.member;
                client.epoch = joined.generation;
            }
            Err(Refusal::MemberIdRequired(id)) => client.member = id,
            Err(refusal) if client.follows => {
                panic!("seed {seed}: m{index} gets {refusal:?}");
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Whoever follows the protocol reads nothing that the group does not know it to have, so nothing
    /// that another has.
    fn check_owners(&self) {
        let kind = self
            .rig
            .machine
            .groups
            .get(&group())
            .map(|group| &group.kind);
        for client in &self.clients[..GOOD] {
            if client.reads.is_empty() {
                continue;
            }
            let Some(Kind::Consumer(consumers)) = kind else {
                panic!("seed {}: the group is gone", self.seed);
            };
            let (_, known): (i32, Owned) = consumers.owned(&client.member).unwrap();
            for (topic, partitions) in &client.reads {
                for partition in partitions {
                    assert!(
                        known
                            .get(topic)
                            .is_some_and(|of| of.contains_key(partition)),
                        "seed {}: {} reads {partition} and the group does not know",
                        self.seed,
                        client.member
                    );
                }
            }
        }
    }
}

impl Client {
    fn take(&mut self, beat: &ConsumerBeat) {
        self.epoch = beat.epoch;
        if let Some(current) = &beat.assignment {
            let topics = current.assigned.iter();
            self.owned = topics
                .map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()))
                .collect();
            for (topic, partitions) in &self.owned {
                self.reads
                    .entry(*topic)
                    .or_default()
                    .extend_from_slice(partitions);
            }
        }
    }
}

fn request(index: usize, client: &Client) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        group: group(),
        member: client.member.clone(),
        makes_own_id: true,
        epoch: client.epoch,
        instance: client.instance.clone(),
        rack: None,
        rebalance_timeout_ms: -1,
        subscribed: None,
        regex: None,
        regex_fault: None,
        assignor: None,
        owned: None,
        client_id: Arc::from("c"),
        client_host: Arc::from("/127.0.0.1"),
        connection: ConnectionId(index as u64),
        topics: Arc::new(super::topics::TestTopics::default()),
    }
}

fn group() -> GroupId {
    GroupId::from("g")
}

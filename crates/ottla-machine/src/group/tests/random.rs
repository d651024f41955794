//! Random requests, legal and not, of clients that follow the protocol and of some that do not, in one
//! group: what must hold does after every step ([`invariants`]); nobody who follows the protocol is
//! thrown out; no partition has two owners in a generation; when the others are gone, those that follow
//! it share all partitions.

use bytes::Bytes;

use super::*;
use crate::testing::Random;

/// Partitions that leaders share out.
const PARTITIONS: u8 = 8;

/// Clients that follow the protocol; the rest does as it likes.
const GOOD: usize = 3;
const CLIENTS: usize = 6;

/// Where a client stands, as it sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Out,
    Joining(Ticket),
    Syncing(Ticket),
    In,
}

struct Client {
    name: String,
    member: MemberId,
    instance: Option<InstanceId>,
    generation: i32,
    phase: Phase,
    /// When it joins or is alive next.
    act_at: MonoMs,
    /// The broker restarted since it was in the group: it may be forgotten, once.
    forgiven: bool,
    follows: bool,
}

struct World {
    rig: Rig,
    random: Random,
    clients: Vec<Client>,
    asked: BTreeMap<Ticket, (usize, i32)>,
    /// Who was told which partitions, by generation; a restart may repeat generations that were not
    /// logged.
    owners: BTreeMap<i32, BTreeMap<u8, MemberId>>,
    seed: u64,
}

#[test]
fn random_dialogues_lose_nobody() {
    let seeds = std::env::var("OTTLA_SEEDS").map_or(40, |count| count.parse().unwrap());
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
            initial_rebalance_delay_ms: random.one_of(&[0, 0, 500, 3000]),
            disconnect_grace_ms: random.one_of(&[None, Some(500), Some(1000)]),
            members_max: random.one_of(&[i32::MAX as usize, 5]),
            ..Settings::default()
        });
        let client = |index: usize| Client {
            name: std::format!("c{index}"),
            member: MemberId::from(""),
            instance: (index == 1 || index == CLIENTS - 1)
                .then(|| InstanceId::from(&*std::format!("i{index}"))),
            generation: -1,
            phase: Phase::Out,
            act_at: MonoMs(0),
            forgiven: false,
            follows: index < GOOD,
        };
        World {
            rig,
            random,
            clients: (0..CLIENTS).map(client).collect(),
            asked: BTreeMap::new(),
            owners: BTreeMap::new(),
            seed,
        }
    }

    fn step(&mut self) {
        self.follow();
        let other = GOOD + self.random.below((CLIENTS - GOOD) as u64) as usize;
        match self.random.below(20) {
            0..=4 => self.join(other),
            5 | 6 => self.sync(other),
            7 => self.heartbeat(other),
            8 => {
                let leaving = Leaving {
                    member: self.some_member(other),
                    instance: self.clients[other].instance.clone(),
                };
                self.ask(
                    other,
                    Request::Leave(Leave {
                        group: group(),
                        members: alloc::vec![leaving],
                    }),
                );
            }
            9 | 10 => self.commit(other),
            11 => {
                let id = self.some_member(other);
                self.clients[other].member = id;
            }
            12 => self.clients[other].generation = self.random.below(4) as i32,
            13 => {
                let connection = ConnectionId(other as u64);
                self.ask(
                    other,
                    Request::ConnectionClosed {
                        group: group(),
                        connection,
                    },
                );
            }
            14 if self.random.below(4) == 0 => self.restart(),
            15 => {
                let request = match self.random.below(4) {
                    0 => Request::DeleteGroup(group()),
                    1 => Request::Ask(Query::Describe(group())),
                    2 => Request::DeleteOffsets(DeleteOffsets {
                        group: group(),
                        topics: alloc::vec![(Arc::from("t"), alloc::vec![0, 1])],
                    }),
                    _ => Request::Ask(Query::List(ListFilter::default())),
                };
                self.ask(other, request);
            }
            _ => {
                let ms = self.random.one_of(&[1, 100, 700, 1500]);
                self.advance(ms);
            }
        }
        self.follow();
    }

    /// The others are gone; time passes.
    fn settle(&mut self) {
        for _ in 0..900 {
            self.follow();
            self.advance(500);
        }
        self.follow();
        let seed = self.seed;
        let Kind::Classic { live, .. } = &self.rig.machine.groups[&group()].kind else {
            panic!("seed {seed}: not a classic group");
        };
        let members: BTreeSet<&MemberId> = live.member_ids().collect();
        let good = &self.clients[..GOOD];
        let expected: BTreeSet<&MemberId> = good.iter().map(|client| &client.member).collect();
        assert_eq!(
            members, expected,
            "seed {seed}: who is in the group at the end"
        );
        assert!(
            good.iter().all(|client| client.phase == Phase::In),
            "seed {seed}"
        );
        let generation = good[0].generation;
        assert!(good.iter().all(|client| client.generation == generation));
        let owned: Vec<u8> = self.owners[&generation].keys().copied().collect();
        assert_eq!(owned, (0..PARTITIONS).collect::<Vec<_>>(), "seed {seed}");
    }

    /// What those do that follow the protocol: they answer at once, and are alive every 3 s.
    fn follow(&mut self) {
        for _ in 0..50 {
            let due = (0..GOOD).find(|index| {
                let client = &self.clients[*index];
                match client.phase {
                    Phase::Out | Phase::In => client.act_at <= self.rig.now,
                    Phase::Joining(_) | Phase::Syncing(_) => false,
                }
            });
            match due {
                None => return,
                Some(index) if self.clients[index].phase == Phase::Out => self.join(index),
                Some(index) => {
                    self.clients[index].act_at = self.rig.now + 3000;
                    self.heartbeat(index);
                }
            }
        }
        panic!("seed {}: the group does not come to rest", self.seed);
    }

    /// Mostly its own, sometimes another's or nobody's.
    fn some_member(&mut self, client: usize) -> MemberId {
        match self.random.below(6) {
            0 => MemberId::from(""),
            1 => MemberId::from("nobody"),
            // Not of one that follows the protocol: who has its id is that client to the broker.
            2 => {
                let other = GOOD + self.random.below((CLIENTS - GOOD) as u64) as usize;
                self.clients[other].member.clone()
            }
            _ => self.clients[client].member.clone(),
        }
    }

    fn join(&mut self, index: usize) {
        let random = &mut self.random;
        let client = &self.clients[index];
        let (session_timeout_ms, rebalance_timeout_ms) = if client.follows {
            (10_000, 30_000)
        } else {
            (
                random.one_of(&[6000, 20_000, 1000]),
                random.one_of(&[0, 5000, 20_000, -1]),
            )
        };
        let version: u8 = if client.follows {
            9
        } else {
            random.below(10) as u8
        };
        let names: &[&str] = match random.below(3) {
            _ if client.follows => &["range", "sticky"],
            0 => &["range"],
            1 => &["sticky", "range"],
            _ => &["other"],
        };
        let metadata = random.one_of(&["x", "y"]);
        let protocols = names.iter().map(|name| Protocol {
            name: Arc::from(*name),
            metadata: Bytes::from_static(if client.follows {
                b"x"
            } else {
                metadata.as_bytes()
            }),
        });
        let request = Request::Join(Join {
            group: group(),
            member: client.member.clone(),
            instance: client.instance.clone(),
            client_id: Arc::from(&*client.name),
            client_host: Arc::from("/127.0.0.1"),
            connection: ConnectionId(index as u64),
            session_timeout_ms,
            rebalance_timeout_ms,
            protocol_type: Arc::from("consumer"),
            protocols: protocols.collect(),
            member_id_required: version >= 4,
            may_skip_assignment: version >= 9,
            topics: Arc::clone(&self.rig.topics) as Arc<dyn Topics>,
        });
        self.clients[index].phase = Phase::Joining(Ticket(self.rig.next_ticket));
        self.ask(index, request);
    }

    fn sync(&mut self, index: usize) {
        let member = self.clients[index].member.clone();
        self.sync_with(index, &[member]);
    }

    /// A SyncGroup that shares the partitions out among `members`, each to one.
    fn sync_with(&mut self, index: usize, members: &[MemberId]) {
        let mut assignments: BTreeMap<MemberId, Vec<u8>> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let owner = &members[self.random.below(members.len() as u64) as usize];
            assignments
                .entry(owner.clone())
                .or_default()
                .push(partition);
        }
        let client = &self.clients[index];
        let request = Request::Sync(Sync {
            group: group(),
            member: client.member.clone(),
            instance: client.instance.clone(),
            generation: client.generation,
            protocol_type: None,
            protocol: None,
            assignments: assignments
                .into_iter()
                .map(|(member, partitions)| (member, Bytes::from(partitions)))
                .collect(),
            connection: ConnectionId(index as u64),
            topics: Arc::clone(&self.rig.topics) as Arc<dyn Topics>,
        });
        self.clients[index].phase = Phase::Syncing(Ticket(self.rig.next_ticket));
        self.ask(index, request);
    }

    fn heartbeat(&mut self, index: usize) {
        let client = &self.clients[index];
        let request = Request::Heartbeat(Heartbeat {
            group: group(),
            member: client.member.clone(),
            instance: client.instance.clone(),
            generation: client.generation,
            connection: ConnectionId(index as u64),
        });
        self.ask(index, request);
    }

    fn commit(&mut self, index: usize) {
        let generation = self.random.one_of(&[-1, self.clients[index].generation]);
        let request = Request::CommitOffsets(CommitOffsets {
            group: group(),
            member: self.some_member(index),
            instance: self.clients[index].instance.clone(),
            generation,
            knows_epochs: true,
            retention_ms: None,
            topics: alloc::vec![CommitTopic {
                name: Arc::from("t"),
                topic_id: Uuid([7; 16]),
                partitions: alloc::vec![CommitPartition {
                    partition: self.random.below(3) as i32,
                    offset: self.random.below(1000) as i64,
                    leader_epoch: 0,
                    metadata: Arc::from("m"),
                }],
            }],
        });
        self.ask(index, request);
    }

    fn restart(&mut self) {
        let left = self.rig.restart();
        let found = self.rig.machine.groups.get(&group());
        let logged = found.map_or(0, |group| match &group.kind {
            Kind::Classic { live, .. } => live.generation(),
            Kind::Consumer(group) => group.epoch(),
        });
        self.owners.retain(|generation, _| *generation <= logged);
        self.asked.clear();
        for client in &mut self.clients {
            client.forgiven = true;
            if client.phase != Phase::In {
                client.phase = Phase::Out;
            }
        }
        self.hear(left);
    }

    fn advance(&mut self, ms: u64) {
        for (_, left) in self.rig.advance(ms) {
            self.hear(alloc::vec![left]);
        }
    }

    fn ask(&mut self, index: usize, request: Request) {
        self.asked.insert(
            Ticket(self.rig.next_ticket),
            (index, self.clients[index].generation),
        );
        let (_, left) = self.rig.ask(request);
        self.hear(left);
    }

    fn hear(&mut self, left: Vec<Left>) {
        for left in left {
            if let Some((index, generation)) = self.asked.remove(&left.to) {
                self.hear_one(index, generation, left);
            }
        }
    }

    fn hear_one(&mut self, index: usize, generation: i32, left: Left) {
        let seed = self.seed;
        let waits_for = match self.clients[index].phase {
            Phase::Joining(to) | Phase::Syncing(to) => Some(to),
            Phase::Out | Phase::In => None,
        };
        let follows = self.clients[index].follows;
        let client = &mut self.clients[index];
        match left.value {
            Ok(Answer::Joined(joined)) => {
                client.member = joined.member.clone();
                client.generation = joined.generation;
                let leads = joined.leader == joined.member && !joined.skip_assignment;
                // Those that do not follow sync when they like.
                if follows {
                    let members: Vec<MemberId> = if leads {
                        joined
                            .members
                            .iter()
                            .map(|member| member.member.clone())
                            .collect()
                    } else {
                        alloc::vec![joined.member]
                    };
                    self.sync_with(index, &members);
                }
            }
            Ok(Answer::Synced(synced)) => {
                if waits_for == Some(left.to) {
                    client.phase = Phase::In;
                    client.act_at = self.rig.now + 3000;
                    client.forgiven = false;
                }
                let member = client.member.clone();
                let owners = self.owners.entry(generation).or_default();
                for partition in &synced.assignment {
                    // A static member takes its partitions with it to a new member id.
                    let prefix = |id: &str| id.split_once('-').map(|(name, _)| name.to_string());
                    let earlier = owners.insert(*partition, member.clone());
                    assert!(
                        earlier.is_none_or(|earlier| prefix(&earlier) == prefix(&member)),
                        "seed {seed}: partition {partition} has two owners in generation {generation}"
                    );
                }
            }
            Err(Refusal::MemberIdRequired(id)) => {
                client.member = id;
                if follows {
                    self.join(index);
                }
            }
            Err(Refusal::RebalanceInProgress) => {
                client.phase = Phase::Out;
                client.act_at = self.rig.now;
            }
            // Others have filled the group, or know no assignor in common: again later.
            Err(Refusal::GroupFull | Refusal::InconsistentProtocol) => {
                client.member = MemberId::from("");
                client.phase = Phase::Out;
                client.act_at = self.rig.now + 500;
            }
            Err(refusal) if follows => {
                assert!(
                    client.forgiven,
                    "seed {seed}: {} gets {refusal:?}",
                    client.name
                );
                client.member = MemberId::from("");
                client.phase = Phase::Out;
                client.act_at = self.rig.now;
            }
            Ok(_) | Err(_) => {}
        }
    }
}

fn group() -> GroupId {
    GroupId::from("g")
}

//! Steps about groups that are not compared: what many dialogues begin with, and what they wait for.

use std::thread;
use std::time::Instant;

use super::notation::Node;
use super::talk::{Asked, SETTLE_LIMIT, SETTLE_POLL, Talk};

/// A member that was brought into a classic group.
pub(super) struct Member {
    connection: String,
    /// As it was written: `$g`.
    group: String,
    /// The variable that has its id.
    name: String,
    /// Fields of its JoinGroup.
    fields: String,
}

impl Talk<'_> {
    /// Kafka makes and loads the coordinators of groups when somebody asks for them.
    pub(super) fn group(&mut self, name: &str) -> Result<(), String> {
        let group = format!("{name}-{}", self.words.get("u")?);
        self.words.bind(name, group);
        for question in [
            format!("FindCoordinator v4 CoordinatorKeys=[${name}]"),
            format!("DescribeGroups v5 Groups=[${name}]"),
        ] {
            self.until_well(&question)?;
        }
        Ok(())
    }

    /// The newest member joins, whoever was brought before joins again, the leader gives each its own name.
    pub(super) fn bring_member(
        &mut self,
        connection: &str,
        group: &str,
        fields: &str,
    ) -> Result<(), String> {
        let newest = Member {
            connection: connection.to_owned(),
            group: group.to_owned(),
            name: connection.to_owned(),
            fields: fields.to_owned(),
        };
        let is_static = fields.contains("GroupInstanceId=");
        self.send(connection, &newest.join("\"\""))?;
        if !is_static {
            let told = self.receive(connection)?;
            if !told.contains("MEMBER_ID_REQUIRED") {
                return Err(format!("{connection} was not told an id:{told}"));
            }
            self.send(connection, &newest.join(&format!("${connection}")))?;
        }
        let mut members: Vec<Member> = self
            .members
            .extract_if(.., |member| member.group == group)
            .collect();
        let seen = self.ask("DescribeGroups", 5, &format!("Groups=[{group}]"))?;
        members.retain(|member| seen.contains(&format!("MemberId=${} ", member.name)));
        if !members.is_empty() {
            self.until_state(group, "PreparingRebalance", Some(members.len() + 1))?;
        }
        for member in &members {
            self.send(
                &member.connection,
                &member.join(&format!("${}", member.name)),
            )?;
        }
        members.push(newest);
        let mut leader = String::new();
        let mut sync = String::new();
        for member in &members {
            let told = self.receive(&member.connection)?;
            if told.contains("ErrorCode") {
                return Err(format!("{} did not join:{told}", member.name));
            }
            let text = |node| match node {
                Node::Text(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                other => other.line(),
            };
            leader = text(self.found("Leader")?);
            let generation = text(self.found("GenerationId")?);
            let protocol = text(self.found("ProtocolName")?);
            let kind = text(self.found("ProtocolType")?);
            sync = format!("GenerationId={generation} ProtocolType={kind} ProtocolName={protocol}");
        }
        let parts: Vec<String> = members
            .iter()
            .map(|member| {
                format!(
                    "{{MemberId=${} Assignment={}}}",
                    member.name, member.connection
                )
            })
            .collect();
        for member in &members {
            let leads = self.words.get(&member.name)? == leader;
            let parts = if leads {
                parts.join(" ")
            } else {
                String::new()
            };
            let request = format!(
                "SyncGroup v5 GroupId={group} MemberId=${} {sync} Assignments=[{parts}]",
                member.name
            );
            self.send(&member.connection, &request)?;
        }
        for member in &members {
            let told = self.receive(&member.connection)?;
            if told.contains("ErrorCode") {
                return Err(format!("{} did not sync:{told}", member.name));
            }
        }
        self.members.extend(members);
        Ok(())
    }

    /// Binds the id that a member was given.
    pub(super) fn learn_member(&mut self, connection: &str, asked: &Asked) -> Result<(), String> {
        let owner = match asked.api.as_str() {
            "JoinGroup" => Some(asked.owner.as_str()),
            "ConsumerGroupHeartbeat" => None,
            _ => return Ok(()),
        };
        match self.found("MemberId")? {
            Node::Text(id) if !id.is_empty() && id != asked.member.as_bytes() => {
                let id = String::from_utf8_lossy(&id).into_owned();
                self.words.bind_member(connection, &id, owner)
            }
            _ => Ok(()),
        }
    }

    /// Until an admin sees the classic group in this state.
    pub(super) fn until_state(
        &mut self,
        group: &str,
        state: &str,
        members: Option<usize>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        loop {
            let seen = self.ask("DescribeGroups", 5, &format!("Groups=[{group}]"))?;
            let found = self.found("Groups.0.GroupState")?;
            let count = match self.found("Groups.0.Members")? {
                Node::List(members) => members.len(),
                _ => 0,
            };
            let is_there = found == Node::Text(state.into());
            if is_there && members.is_none_or(|members| members == count) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{group} does not become {state} {members:?}:{seen}"
                ));
            }
            thread::sleep(SETTLE_POLL);
        }
    }
}

impl Member {
    fn join(&self, id: &str) -> String {
        let Member { group, fields, .. } = self;
        format!(
            "JoinGroup v9 GroupId={group} MemberId={id} SessionTimeoutMs=60000 RebalanceTimeoutMs=60000 \
             ProtocolType=consumer Protocols=[{{Name=range}}] {fields}"
        )
    }
}

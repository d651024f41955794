//! The one authorisation gate. Every operation of the broker asks for a [`Permit`], and only the gate
//! makes one, so no path can forget to ask.
//!
//! Its first policy is open: everything is permitted to everybody who can connect.

/// What a request wants to do (Kafka: `AclOperation`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// Read records or offsets.
    Read,
    /// Append records.
    Write,
    /// Create topics.
    Create,
    /// Delete topics.
    Delete,
    /// See that something exists.
    Describe,
    /// See configs.
    DescribeConfigs,
    /// Obtain a producer id.
    IdempotentWrite,
    /// What needs no permission: negotiating versions.
    Open,
}

/// The kind of thing that a request wants to touch (Kafka: `ResourceType`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResourceKind {
    /// Topics.
    Topic,
    /// Consumer groups.
    Group,
    /// The cluster as a whole.
    Cluster,
}

/// Who is asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Principal {
    /// Nobody in particular: the listener asks for no authentication.
    Anonymous,
}

/// Says that the gate was asked and said yes. Only [`Gate::permit`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    operation: Operation,
}

impl Permit {
    /// What was permitted.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }
}

/// The gate said no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denied;

/// Decides who may do what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    policy: Policy,
}

#[derive(Clone, Copy, Debug, Default)]
enum Policy {
    #[default]
    Open,
}

impl Gate {
    /// Asks for a permit.
    ///
    /// # Errors
    /// [`Denied`] if the policy says no.
    pub fn permit(
        &self,
        _who: &Principal,
        operation: Operation,
        _kind: ResourceKind,
    ) -> Result<Permit, Denied> {
        match self.policy {
            Policy::Open => Ok(Permit { operation }),
        }
    }
}

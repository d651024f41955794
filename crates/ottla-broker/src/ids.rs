//! Fresh ids from the operating system's randomness.

use ottla_machine::contract::Ids;
use ottla_model::uuid::Uuid;

/// Random ids.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn uuid(&mut self) -> Uuid {
        random_uuid()
    }
}

/// One random id.
#[must_use]
pub fn random_uuid() -> Uuid {
    let mut bytes = [0u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        // getrandom(2) without flags fails only if a signal interrupts it before the kernel's pool is
        // ready, at boot.
        if let Ok(count) =
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
        {
            filled += count;
        }
    }
    Uuid::from_random(bytes)
}

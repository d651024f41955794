//! The machine of the catalog.

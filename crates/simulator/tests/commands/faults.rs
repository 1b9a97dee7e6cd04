//! Command endpoints that go wrong.

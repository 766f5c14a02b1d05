//! The reference on a simulated device: the ladder, the accounts, the streams.

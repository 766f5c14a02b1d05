//! Steps that convict, and steps as close as possible that do not.

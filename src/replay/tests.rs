//! The reference against recordings of the real PyTorch.

use super::*;

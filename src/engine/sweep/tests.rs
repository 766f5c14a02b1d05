//! The sweep on the reference, sound and with mistakes in its error paths.

//! The engines that can carry the world's interface. The facade modules (`net`, `time`, …) are all that the rest of
//! the workspace sees, so a further engine is a sibling of `kernel`.

pub(crate) mod kernel;

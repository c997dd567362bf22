//! wado

//! From the bytes of one frame to samples, and from samples to a picture.
//!
//! Pure functions on bytes: no waiting, no files, nothing of the archive but its model. What is read
//! here came over the network, so every length is checked against the data set before anything is
//! allocated, and nothing panics on any input. They compute for milliseconds: call them through
//! the pool. The time that a stream may take is bounded by its length (`patience`); decoders of others, which nothing can stop,
//! have a thread of their own for that (`foreign`).
//!
//! The way of a frame, each step a module:
//!
//! | step | module | standard |
//! |---|---|---|
//! | what the data set says of the image | `info`, `read`, `lut`, `palette` | PS3.3 §C.7.6.3, §C.7.6.16 |
//! | stored bytes → samples, colour by pixel, little endian | `decode`: `native`, `rle`, `deflate`, `jpeg`, `jpeg_ls`, `jpeg2000`, `jpeg_xl`, then `raster` | PS3.5 §8, Annex A, Annex G |
//! | stored bytes → the bytes of a native frame | `transcode` | PS3.5 §8.1, §A.2 |
//! | stored bytes → a frame of another transfer syntax, compared with what went in | `recode`; `source`, then the encoders beside the decoders | PS3.5 §8.2, §10 |
//! | samples → grey or RGB of 8 bits | `grayscale`, `color` | PS3.3 §C.11.1, §C.11.2, §C.7.6.3.1.2 |
//! | overlays of the image, drawn over it | `overlay` | PS3.3 §C.9 |
//! | region, scale, flip | `scale` | PS3.18 §8.3.5.1.3 |
//! | colours of another space | `profile` | PS3.18 §8.3.5.1.5 |
//! | picture → JPEG, PNG, GIF, WebP | `encode`, `animation` | PS3.18 §8.7.4 |

mod animation;
mod bitmap;
mod color;
mod decode;
mod deflate;
mod encode;
mod error;
mod foreign;
mod grayscale;
mod info;
mod jpeg;
mod jpeg2000;
mod jpeg_ls;
mod jpeg_xl;
mod lut;
mod native;
mod overlay;
mod palette;
mod patience;
mod picture;
mod profile;
mod raster;
mod read;
mod recode;
mod rle;
mod scale;
mod scan_bits;
mod segment;
mod source;
mod transcode;
mod window;

#[cfg(test)]
mod damage;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod made_elsewhere;
#[cfg(test)]
mod shown_tests;

pub use animation::{GifAnimation, GifFrame};
pub use bitmap::{Bitmap, Channels};
pub use color::to_bitmap;
pub use decode::{Decoded, can_decode, decode};
pub use encode::{Format, encode};
pub use error::{Error, ErrorKind, Result};
pub use grayscale::Shown;
pub use info::{ImageInfo, LutShape, Padding, Photometric, SampleKind};
pub use lut::{Lut, Modality, Voi};
pub use overlay::{Overlay, OwnOverlay, to_bitmap_with_overlays};
pub use palette::Palette;
pub use picture::{MAX_PICTURE, Picture, PictureKind};
pub use profile::{IccProfile, MAX_PROFILE};
pub use recode::{RecodedFrame, can_encode, is_within, recode};
pub use scale::{Region, Viewport, fit};
pub use transcode::{NativeFrame, to_native_le};
pub use window::{Window, WindowFunction};

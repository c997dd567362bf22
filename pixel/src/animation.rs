//! Pictures one after the other as an animated GIF (PS3.18 Table 8.7.4-1), made frame by frame.

use gif::{Encoder, Frame, Repeat};

use super::encode::{internal, small_size};
use super::{Bitmap, Channels, Result};

/// How much the encoder hurries when a picture has more than 256 colours: 1 … 30.
const HASTE: i32 = 10;

/// A picture of an animation, compressed.
pub struct GifFrame(Frame<'static>);

impl GifFrame {
    /// `delay` is how long it is shown, in hundredths of a second.
    ///
    /// # Errors
    /// `TooLarge` when it has more rows or columns than GIF can count.
    pub fn new(picture: &Bitmap, delay: u16) -> Result<Self> {
        let (width, height) = small_size(picture)?;
        let mut frame = match picture.channels {
            Channels::Grey => {
                let palette: Vec<u8> = (0..=255).flat_map(|grey| [grey; 3]).collect();
                Frame::from_palette_pixels(width, height, picture.bytes.clone(), palette, None)
            }
            Channels::Rgb => Frame::from_rgb_speed(width, height, &picture.bytes, HASTE),
        };
        frame.delay = delay;
        frame.make_lzw_pre_encoded();
        Ok(Self(frame))
    }
}

/// An animated GIF in the making.
pub struct GifAnimation(Encoder<Vec<u8>>);

impl GifAnimation {
    /// Of the size of its first picture; it is repeated for ever.
    ///
    /// # Errors
    /// `Internal`.
    pub fn new(first: &GifFrame) -> Result<Self> {
        let Frame { width, height, .. } = first.0;
        let mut encoder = Encoder::new(Vec::new(), width, height, &[]).map_err(|e| internal(&e))?;
        encoder.set_repeat(Repeat::Infinite).map_err(|e| internal(&e))?;
        Ok(Self(encoder))
    }

    /// The bytes of the next picture, with those of the head before the first.
    ///
    /// # Errors
    /// `Internal`.
    pub fn push(&mut self, frame: &GifFrame) -> Result<Vec<u8>> {
        self.0.write_lzw_pre_encoded_frame(&frame.0).map_err(|e| internal(&e))?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// The bytes behind the last picture.
    ///
    /// # Errors
    /// `Internal`.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.0.into_inner().map_err(|e| internal(&e))
    }
}

#[cfg(test)]
mod tests {
    use image::AnimationDecoder;
    use image::codecs::gif::GifDecoder;

    use super::*;

    #[test]
    fn every_picture_is_there_with_its_time() {
        let grey = |value| Bitmap { width: 4, height: 2, channels: Channels::Grey, bytes: vec![value; 8] };
        let red = Bitmap { width: 4, height: 2, channels: Channels::Rgb, bytes: [255, 0, 0].repeat(8) };
        let frames: Vec<_> =
            [grey(7), grey(250), red].iter().map(|picture| GifFrame::new(picture, 5).unwrap()).collect();
        let mut animation = GifAnimation::new(&frames[0]).unwrap();
        let mut file: Vec<u8> = frames.iter().flat_map(|frame| animation.push(frame).unwrap()).collect();
        file.extend(animation.finish().unwrap());

        let decoder = GifDecoder::new(std::io::Cursor::new(file)).unwrap();
        let found: Vec<_> = decoder.into_frames().map(|frame| frame.unwrap()).collect();
        let colours: Vec<_> = found.iter().map(|frame| frame.buffer().get_pixel(1, 1).0).collect();
        assert_eq!(colours, [[7, 7, 7, 255], [250, 250, 250, 255], [255, 0, 0, 255]]);
        assert!(found.iter().all(|frame| frame.delay().numer_denom_ms() == (50, 1)));
    }
}

//! Colours of a picture in a colour space that a reader knows: ICC profiles of rendered images (PS3.18 §8.3.5.1.5).

use std::borrow::Cow;

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::{Bitmap, Channels, Error, ErrorKind, Result};

/// Bytes of a profile of an image; those in use have some hundred kilobytes at the most.
pub const MAX_PROFILE: usize = 8 << 20;

/// What is done about the colour space: the values of the parameter `iccprofile`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IccProfile {
    /// Pixels as they are, and no profile.
    #[default]
    No,
    /// Pixels as they are, with the profile of the image, or sRGB where it has none.
    Yes,
    /// Colours of sRGB, with its profile.
    Srgb,
    /// Colours of Adobe RGB, with its profile.
    AdobeRgb,
    /// Colours of ROMM RGB, with its profile.
    RommRgb,
}

impl IccProfile {
    /// The picture, and the profile to embed. `own` is that of the image (0028,2000); grey becomes RGB with a profile,
    /// for the profiles are those of RGB.
    ///
    /// # Errors
    /// `Unsupported` when the image's own profile cannot be read or is no profile of RGB.
    pub fn apply(self, picture: Bitmap, own: Option<&[u8]>) -> Result<(Bitmap, Option<Vec<u8>>)> {
        let target = match self {
            Self::No => return Ok((picture, None)),
            Self::Yes => match own {
                Some(own) => return Ok((in_colour(picture), Some(own.to_vec()))),
                None => return Ok((in_colour(picture), Some(encoded(&ColorProfile::new_srgb())?))),
            },
            Self::Srgb => ColorProfile::new_srgb(),
            Self::AdobeRgb => ColorProfile::new_adobe_rgb(),
            Self::RommRgb => ColorProfile::new_pro_photo_rgb(),
        };
        let source = own.map_or_else(|| Ok(ColorProfile::new_srgb()), read)?;
        let picture = in_colour(picture);
        let transform = source
            .create_transform_8bit(Layout::Rgb, &target, Layout::Rgb, TransformOptions::default())
            .map_err(|e| unusable(&e))?;
        let mut bytes = vec![0; picture.bytes.len()];
        transform.transform(&picture.bytes, &mut bytes).map_err(|e| unusable(&e))?;
        Ok((Bitmap { bytes, ..picture }, Some(encoded(&target)?)))
    }
}

fn read(profile: &[u8]) -> Result<ColorProfile> {
    let profile = ColorProfile::new_from_slice(profile).map_err(|e| unusable(&e))?;
    match profile.color_space {
        DataColorSpace::Rgb => Ok(profile),
        other => Err(unusable(&format!("a profile of {other:?}"))),
    }
}

fn unusable(what: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unsupported, format!("ICC profile of the image: {what}"))
}

fn encoded(profile: &ColorProfile) -> Result<Vec<u8>> {
    profile.encode().map_err(|e| Error::new(ErrorKind::Internal, format!("writing an ICC profile: {e}")))
}

pub(super) fn in_colour(picture: Bitmap) -> Bitmap {
    let bytes = rgb(&picture).into_owned();
    Bitmap { channels: Channels::Rgb, bytes, ..picture }
}

/// The bytes of the picture as red, green, blue.
pub(super) fn rgb(picture: &Bitmap) -> Cow<'_, [u8]> {
    match picture.channels {
        Channels::Grey => picture.bytes.iter().flat_map(|grey| [*grey; 3]).collect::<Vec<_>>().into(),
        Channels::Rgb => Cow::Borrowed(&picture.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn green() -> Bitmap {
        Bitmap { width: 1, height: 1, channels: Channels::Rgb, bytes: vec![0, 255, 0] }
    }

    #[test]
    fn without_a_wish_nothing_is_done() {
        assert_eq!(IccProfile::No.apply(green(), Some(b"whatever")).unwrap(), (green(), None));
    }

    #[test]
    fn the_profile_of_the_image_is_handed_on() {
        let (picture, profile) = IccProfile::Yes.apply(green(), Some(b"whatever")).unwrap();
        assert_eq!((picture, profile.as_deref()), (green(), Some(b"whatever".as_slice())));
        let (_, profile) = IccProfile::Yes.apply(green(), None).unwrap();
        assert!(ColorProfile::new_from_slice(&profile.unwrap()).is_ok());
    }

    /// The green of sRGB is (144, 255, 60) in Adobe RGB (1998); the green of Adobe RGB lies outside of sRGB.
    #[test]
    fn colours_are_those_of_the_space_that_is_asked_for() {
        let (picture, profile) = IccProfile::AdobeRgb.apply(green(), None).unwrap();
        let near = picture.bytes.iter().zip([144_u8, 255, 60]).all(|(a, b)| a.abs_diff(b) <= 1);
        assert!(near, "{:?}", picture.bytes);
        let adobe = profile.unwrap();
        let (picture, _) = IccProfile::Srgb.apply(green(), Some(&adobe)).unwrap();
        assert_eq!(picture.bytes, [0, 255, 0]);
        let (picture, _) = IccProfile::RommRgb.apply(green(), None).unwrap();
        assert_ne!(picture.bytes, [0, 255, 0]);
    }

    #[test]
    fn a_profile_that_cannot_be_read_is_unsupported() {
        assert_eq!(IccProfile::Srgb.apply(green(), Some(b"no")).unwrap_err().kind, ErrorKind::Unsupported);
    }
}

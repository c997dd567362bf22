//! How a rendered resource is to be shown: its query parameters (PS3.18 §8.3.5.1).

use std::str::FromStr;

use worker::captions::Annotation;
use worker::pixel::{Format, IccProfile, Region, Viewport, Window, WindowFunction};
use worker::render::Presentation;

use crate::accept::{GIF, PNG, WEBP};
use crate::error::Problem;
use crate::parameters::Parameters;

/// Quality of JPEG when none is asked for.
const QUALITY: u8 = 90;

/// A presentation and what has to be said about it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) presentation: Presentation,
    /// Text for the `Warning` header field.
    pub(super) warning: Option<String>,
}

impl Wanted {
    /// # Errors
    /// 400 for a value that the standard does not allow.
    pub(super) fn read(parameters: &Parameters, media: &str) -> Result<Self, Problem> {
        let quality = match parameters.get("quality") {
            Some(text) => parse::<u8>(text)
                .filter(|quality| (1..=100).contains(quality))
                .ok_or_else(|| Problem::invalid("quality is not a whole number from 1 to 100"))?,
            None => QUALITY,
        };
        let format = match media {
            PNG => Format::Png,
            GIF => Format::Gif,
            WEBP => Format::WebP,
            _ => Format::Jpeg { quality },
        };
        let profile = parameters.get("iccprofile").map(profile).transpose()?.unwrap_or_default();
        if profile != IccProfile::No && !format.has_profile() {
            return Err(Problem::invalid(format!(
                "{media} has no place for an ICC profile: iccprofile can only be no"
            )));
        }
        let window = parameters.get("window").map(window).transpose()?;
        let viewport = parameters.get("viewport").map(viewport).transpose()?;
        let (annotation, warning) =
            parameters.get("annotation").map(annotation).transpose()?.unwrap_or_default();
        Ok(Self { presentation: Presentation { window, viewport, format, profile, annotation }, warning })
    }
}

/// Columns and rows that a thumbnail may have: of `viewport` it has the first two values alone (PS3.18 §8.3.5.1.3).
///
/// # Errors
/// 400 for anything else.
pub(super) fn thumbnail_size(parameters: &Parameters) -> Result<Option<(u32, u32)>, Problem> {
    let Some(text) = parameters.get("viewport") else { return Ok(None) };
    let Viewport { width, height, .. } = viewport(text)?;
    if fields(text).len() > 2 {
        return Err(Problem::invalid("viewport of a thumbnail is vw,vh: no region of it is shown"));
    }
    Ok(Some((width, height)))
}

fn profile(text: &str) -> Result<IccProfile, Problem> {
    match text {
        "no" => Ok(IccProfile::No),
        "yes" => Ok(IccProfile::Yes),
        "srgb" => Ok(IccProfile::Srgb),
        "adobergb" => Ok(IccProfile::AdobeRgb),
        "rommrgb" => Ok(IccProfile::RommRgb),
        _ => Err(Problem::invalid("iccprofile is none of no, yes, srgb, adobergb, rommrgb")),
    }
}

/// `center,width,function`, all three.
fn window(text: &str) -> Result<Window, Problem> {
    let invalid =
        || Problem::invalid("window is not center,width,function with linear, linear-exact or sigmoid");
    let [center, width, function] = fields(text).try_into().map_err(|_| invalid())?;
    let function = match function.to_ascii_lowercase().as_str() {
        "linear" => WindowFunction::Linear,
        "linear-exact" => WindowFunction::LinearExact,
        "sigmoid" => WindowFunction::Sigmoid,
        _ => return Err(invalid()),
    };
    let (center, width) = (parse(center).ok_or_else(invalid)?, parse(width).ok_or_else(invalid)?);
    Ok(Window::new(center, width, function)?)
}

/// `vw,vh` or `vw,vh,sx,sy,sw,sh`, where all but the first two may be left empty.
fn viewport(text: &str) -> Result<Viewport, Problem> {
    let invalid = || Problem::invalid("viewport is not vw,vh or vw,vh,sx,sy,sw,sh in pixels");
    let (size, region) = match *fields(text).as_slice() {
        [width, height] => ([width, height], None),
        [width, height, x, y, w, h] => ([width, height], Some([x, y, w, h])),
        _ => return Err(invalid()),
    };
    let [width, height] = size.map(|text| parse(text).filter(|pixels: &u32| *pixels > 0));
    let (Some(width), Some(height)) = (width, height) else { return Err(invalid()) };
    let region = region.map(|numbers| numbers.map(elided)).map(|[x, y, w, h]| {
        let (x, y, width, height) = (x?, y?, w?, h?);
        Some(Region { x: x.unwrap_or(0.0), y: y.unwrap_or(0.0), width, height })
    });
    match region {
        Some(None) => Err(invalid()),
        region => Ok(Viewport { width, height, region: region.flatten() }),
    }
}

/// A number that may be left out; the outer `None` stands for nonsense.
fn elided(text: &str) -> Option<Option<f64>> {
    if text.is_empty() { Some(None) } else { parse(text).filter(|number: &f64| number.is_finite()).map(Some) }
}

/// What is burnt in, and what is said of the rest: there are `patient` and `technique` (PS3.18 §8.3.5.1.2).
fn annotation(text: &str) -> Result<(Annotation, Option<String>), Problem> {
    let is_keyword =
        |value: &&str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let values = fields(text);
    if !values.iter().all(is_keyword) {
        return Err(Problem::invalid("annotation is not a list of keywords"));
    }
    let mut wanted = Annotation::default();
    let mut others = Vec::new();
    for value in values {
        match value {
            "patient" => wanted.patient = true,
            "technique" => wanted.technique = true,
            other => others.push(other),
        }
    }
    let warning = format!("The following annotation values are not supported: {}", others.join(","));
    Ok((wanted, (!others.is_empty()).then_some(warning)))
}

fn fields(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).collect()
}

fn parse<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(query: &str) -> Result<Wanted, Problem> {
        Wanted::read(&Parameters::of(&format!("/x?{query}").parse().unwrap()), "image/jpeg")
    }

    #[rstest]
    #[case("window=16")]
    #[case("window=16,8")]
    #[case("window=a,b,linear")]
    #[case("window=16,8,nonsense")]
    #[case("window=16,0,linear")]
    #[case("window=nan,8,linear")]
    #[case("viewport=abc")]
    #[case("viewport=10")]
    #[case("viewport=-5,5")]
    #[case("viewport=0,5")]
    #[case("viewport=5,5,1")]
    #[case("viewport=5,5,x,,,")]
    #[case("quality=0")]
    #[case("quality=101")]
    #[case("quality=x")]
    #[case("annotation=")]
    #[case("iccprofile=other")]
    fn refuses_what_the_standard_does_not_allow(#[case] query: &str) {
        assert_eq!(read(query).unwrap_err().status, http::StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_thumbnail_has_a_size_and_no_region() {
        let of = |query: &str| thumbnail_size(&Parameters::of(&format!("/x?{query}").parse().unwrap()));
        assert_eq!(of("").unwrap(), None);
        assert_eq!(of("viewport=64,32").unwrap(), Some((64, 32)));
        for wrong in
            ["viewport=64", "viewport=a,b", "viewport=0,1", "viewport=64,32,,,,", "viewport=64,32,0,0,9,9"]
        {
            assert_eq!(of(wrong).unwrap_err().status, http::StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    #[test]
    fn reads_window_viewport_and_quality() {
        let wanted =
            read("window=40,400,linear-exact&viewport=64,32,,10,-20,&quality=7").unwrap().presentation;
        let region = Region { x: 0.0, y: 10.0, width: Some(-20.0), height: None };
        assert_eq!(wanted.viewport, Some(Viewport { width: 64, height: 32, region: Some(region) }));
        assert_eq!(wanted.window, Window::new(40.0, 400.0, WindowFunction::LinearExact).ok());
        assert_eq!(wanted.format, Format::Jpeg { quality: 7 });
    }

    #[test]
    fn a_profile_needs_a_media_type_with_a_place_for_it() {
        assert_eq!(read("iccprofile=adobergb").unwrap().presentation.profile, IccProfile::AdobeRgb);
        assert_eq!(read("iccprofile=no").unwrap().presentation.profile, IccProfile::No);
        let parameters = Parameters::of(&"/x?iccprofile=yes".parse().unwrap());
        assert_eq!(Wanted::read(&parameters, GIF).unwrap_err().status, http::StatusCode::BAD_REQUEST);
        assert_eq!(Wanted::read(&parameters, WEBP).unwrap().presentation.profile, IccProfile::Yes);
    }

    #[test]
    fn what_cannot_be_burnt_in_is_told() {
        let both = Annotation { patient: true, technique: true };
        let of =
            |query: &str| read(query).map(|wanted| (wanted.presentation.annotation, wanted.warning)).unwrap();
        assert_eq!(of("annotation=technique,patient"), (both, None));
        assert_eq!(of(""), (Annotation::default(), None));
        let (annotation, warning) = of("annotation=patient,ruler,logo");
        assert_eq!(annotation, Annotation { technique: false, ..both });
        let told = "The following annotation values are not supported: ruler,logo";
        assert_eq!(warning.as_deref(), Some(told));
    }
}

//! Parameters of WADO-URI (PS3.18 §9.4) → what WADO-RS understands.

use dicom::dictionary_std::tags;
use dicom_store::model::{
    FrameNumber, Instance, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use http::{HeaderMap, Uri};

use crate::accept::{Accepts, Category, DICOM, GIF, HTML, JPEG, Offer, PDF, PNG, TEXT, WEBP, XML};
use crate::error::Problem;
use crate::negotiation::accepts_or_anything;
use crate::parameters::Parameters;
use crate::resource::Target;
use crate::retrieve::Retrieval;

const OFFERS: &[Offer] = &[
    Offer::single(JPEG),
    Offer::single(PNG),
    Offer::single(GIF),
    Offer::single(WEBP),
    Offer::single(HTML),
    Offer::single(TEXT),
    Offer::single(XML),
    Offer::single(PDF),
    Offer::single("video/mp4"),
    Offer::single("video/mpeg"),
    Offer::single("video/H265"),
    Offer::single(DICOM),
];

/// Parameters that only make sense for images.
const RENDERING: &[&str] = &[
    "frameNumber",
    "rows",
    "columns",
    "region",
    "windowCenter",
    "windowWidth",
    "imageQuality",
    "annotation",
    "imageAnnotation",
    "presentationUID",
    "presentationSeriesUID",
];

/// A side of the viewport that is not given: no limit.
const UNLIMITED: u32 = 16_384;

/// A request as WADO-RS would have it.
pub(super) struct Asked {
    pub(super) target: Target,
    pub(super) accepts: Accepts,
    pub(super) parameters: Parameters,
    pub(super) form: Form,
}

/// What of the instance is asked for.
pub(super) enum Form {
    Instance,
    Rendered {
        frame: Option<FrameNumber>,
        region: Option<Region>,
    },
    /// By a presentation state: its series and itself.
    Presented {
        state: (SeriesInstanceUid, SopInstanceUid),
        frame: Option<FrameNumber>,
    },
}

/// Left, upper, right and lower edge as parts of the image, and the box to fit it into.
pub(super) struct Region {
    edges: [f64; 4],
    viewport: Option<(u32, u32)>,
}

impl Asked {
    /// # Errors
    /// 400 for a parameter that is missing, contradicts others or has an invalid value; 406 for a media type that is
    /// not made.
    pub(super) fn read(headers: &HeaderMap, uri: &Uri) -> Result<Self, Problem> {
        let parameters = Parameters::of(uri);
        if parameters.get("requestType") != Some("WADO") {
            return Err(Problem::invalid("requestType is not WADO"));
        }
        let target = target(&parameters)?;
        if parameters.get("anonymize").is_some() {
            return Err(Problem::invalid("anonymize is not supported"));
        }
        if parameters.iter().filter(|(name, _)| *name == "transferSyntax").count() > 1 {
            return Err(Problem::invalid("transferSyntax is one UID"));
        }
        let accepts = accepts(headers, &parameters)?;
        if accepts.best(Category::Any, OFFERS)?.media == DICOM {
            return Self::instance(target, &parameters);
        }
        let state = state(&parameters)?;
        if parameters.get("transferSyntax").is_some() {
            return Err(Problem::invalid("transferSyntax is only for application/dicom"));
        }
        let frame = match parameters.get("frameNumber") {
            Some(text) => {
                let number = text.parse().ok().and_then(FrameNumber::new);
                Some(number.ok_or_else(|| Problem::invalid("frameNumber is not a whole number from 1"))?)
            }
            None => None,
        };
        let viewport = viewport(&parameters)?;
        if let Some(state) = state {
            let mut rendering = rendering(&parameters)?;
            if let Some((width, height)) = viewport {
                rendering.push("viewport", format!("{width},{height}"));
            }
            return Ok(Self {
                target,
                accepts,
                parameters: rendering,
                form: Form::Presented { state, frame },
            });
        }
        let region = parameters.get("region").map(edges).transpose()?;
        let mut rendering = rendering(&parameters)?;
        let region = region.map(|edges| Region { edges, viewport });
        if let (None, Some((width, height))) = (&region, viewport) {
            rendering.push("viewport", format!("{width},{height}"));
        }
        Ok(Self { target, accepts, parameters: rendering, form: Form::Rendered { frame, region } })
    }

    fn instance(target: Target, parameters: &Parameters) -> Result<Self, Problem> {
        if let Some(name) = RENDERING.iter().find(|name| parameters.get(name).is_some()) {
            return Err(Problem::invalid(format!("{name} is only for rendered images")));
        }
        let accepts = match parameters.get("transferSyntax") {
            Some(text) => {
                let uid = TransferSyntaxUid::parse(text)?;
                Accepts::parse(&format!("{DICOM}; transfer-syntax={uid}"))
            }
            None => Accepts::parse(DICOM),
        };
        Ok(Self { target, accepts, parameters: Parameters::default(), form: Form::Instance })
    }
}

impl Region {
    /// Puts the region, in pixels of the image, into the rendering parameters.
    pub(super) async fn apply(
        self,
        mut retrieval: Retrieval,
        instance: &Instance,
    ) -> Result<Retrieval, Problem> {
        let attributes = retrieval.session.header(instance).await?.attributes()?;
        let (Some(columns), Some(rows)) = (attributes.float(tags::COLUMNS), attributes.float(tags::ROWS))
        else {
            return Err(Problem::not_acceptable("there is no image to render"));
        };
        let [left, upper, right, lower] = self.edges;
        let (x, y, width, height) =
            (left * columns, upper * rows, (right - left) * columns, (lower - upper) * rows);
        let (vw, vh) = self.viewport.unwrap_or((whole(width), whole(height)));
        retrieval.parameters.push("viewport", format!("{vw},{vh},{x},{y},{width},{height}"));
        Ok(retrieval)
    }
}

/// At least one pixel.
fn whole(size: f64) -> u32 {
    format!("{:.0}", size.clamp(1.0, f64::from(UNLIMITED))).parse().unwrap_or(UNLIMITED)
}

fn target(parameters: &Parameters) -> Result<Target, Problem> {
    let uid = |name: &str| {
        let value = parameters.get(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| Problem::invalid(format!("{name} is missing")))
    };
    Ok(Target {
        study: Some(StudyInstanceUid::parse(uid("studyUID")?)?),
        series: Some(SeriesInstanceUid::parse(uid("seriesUID")?)?),
        instance: Some(SopInstanceUid::parse(uid("objectUID")?)?),
        ..Target::default()
    })
}

/// `contentType` or else the `Accept` header field; everything when there is neither.
fn accepts(headers: &HeaderMap, parameters: &Parameters) -> Result<Accepts, Problem> {
    let text = parameters.get("contentType").map(|text| text.replace("dicom ", "dicom+"));
    if text.as_deref().is_some_and(|text| text.contains("transfer-syntax") || text.contains("charset")) {
        return Err(Problem::invalid("contentType has media type parameters that are not permitted"));
    }
    let accepts = match text {
        Some(text) => Accepts::parse(&text),
        None => accepts_or_anything(headers, &Parameters::default()),
    };
    Ok(if accepts.is_empty() { Accepts::anything() } else { accepts })
}

/// `presentationSeriesUID` and `presentationUID`, which come together and without what they decide.
fn state(parameters: &Parameters) -> Result<Option<(SeriesInstanceUid, SopInstanceUid)>, Problem> {
    let (series, state) = match (parameters.get("presentationSeriesUID"), parameters.get("presentationUID")) {
        (None, None) => return Ok(None),
        (Some(series), Some(state)) => (series, state),
        _ => return Err(Problem::invalid("presentationUID and presentationSeriesUID come together")),
    };
    let decided = ["windowCenter", "windowWidth", "region"];
    match decided.iter().find(|name| parameters.get(name).is_some()) {
        Some(name) => Err(Problem::invalid(format!("{name} is what the presentation state decides"))),
        None => Ok(Some((SeriesInstanceUid::parse(series)?, SopInstanceUid::parse(state)?))),
    }
}

/// `columns` and `rows` are a box that keeps the aspect.
fn viewport(parameters: &Parameters) -> Result<Option<(u32, u32)>, Problem> {
    let side = |name: &str| match parameters.get(name) {
        Some(text) => {
            let pixels = text.parse().ok().filter(|pixels: &u32| *pixels > 0);
            pixels.map(Some).ok_or_else(|| Problem::invalid(format!("{name} is not a number of pixels")))
        }
        None => Ok(None),
    };
    Ok(match (side("columns")?, side("rows")?) {
        (None, None) => None,
        (columns, rows) => Some((columns.unwrap_or(UNLIMITED), rows.unwrap_or(UNLIMITED))),
    })
}

/// `xmin,ymin,xmax,ymax`, each from 0 to 1.
fn edges(text: &str) -> Result<[f64; 4], Problem> {
    let invalid = || Problem::invalid("region is not xmin,ymin,xmax,ymax from 0 to 1");
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let edges: [f64; 4] = numbers.ok_or_else(invalid)?.try_into().map_err(|_| invalid())?;
    let [left, upper, right, lower] = edges;
    let is_inside = edges.iter().all(|edge| (0.0..=1.0).contains(edge));
    if is_inside && left < right && upper < lower { Ok(edges) } else { Err(invalid()) }
}

fn rendering(parameters: &Parameters) -> Result<Parameters, Problem> {
    let mut rendering = Parameters::default();
    match (parameters.get("windowCenter"), parameters.get("windowWidth")) {
        (None, None) => {}
        (Some(center), Some(width)) => rendering.push("window", format!("{center},{width},linear")),
        _ => return Err(Problem::invalid("windowCenter and windowWidth come together")),
    }
    if let Some(quality) = parameters.get("imageQuality") {
        rendering.push("quality", quality.to_owned());
    }
    if let Some(annotation) = parameters.get("annotation").or(parameters.get("imageAnnotation")) {
        rendering.push("annotation", annotation.to_owned());
    }
    Ok(rendering)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use rstest::rstest;

    use super::*;

    fn read(query: &str) -> Result<Asked, Problem> {
        let uri = format!("/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4{query}");
        Asked::read(&HeaderMap::new(), &uri.parse().unwrap())
    }

    #[rstest]
    #[case("&frameNumber=0")]
    #[case("&rows=x")]
    #[case("&rows=0")]
    #[case("&windowCenter=40")]
    #[case("&region=0,0,2,1")]
    #[case("&region=0.5,0,0.5,1")]
    #[case("&region=0,0,1")]
    #[case("&anonymize=yes")]
    #[case("&anonymize=yes&contentType=application/dicom")]
    #[case("&anonymize=no")]
    #[case("&transferSyntax=1.2.840.10008.1.2.1")]
    #[case("&presentationUID=1.2")]
    #[case("&presentationUID=1.2&presentationSeriesUID=1.3&windowCenter=1&windowWidth=2")]
    #[case("&contentType=application/dicom&windowCenter=1&windowWidth=2")]
    #[case("&contentType=application/dicom&transferSyntax=abc")]
    #[case("&contentType=application/dicom;transfer-syntax=1.2")]
    fn refuses(#[case] query: &str) {
        assert_eq!(read(query).err().unwrap().status, StatusCode::BAD_REQUEST);
    }

    #[rstest]
    #[case("/wado?studyUID=1.2&seriesUID=1.3&objectUID=1.4")]
    #[case("/wado?requestType=OTHER&studyUID=1.2&seriesUID=1.3&objectUID=1.4")]
    #[case("/wado?requestType=WADO&seriesUID=1.3&objectUID=1.4")]
    #[case("/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=")]
    fn the_object_has_to_be_named(#[case] uri: &str) {
        let refused = Asked::read(&HeaderMap::new(), &uri.parse().unwrap()).err().unwrap();
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn becomes_the_parameters_of_wado_rs() {
        let asked = read("&rows=16&windowCenter=40&windowWidth=400&imageQuality=7&contentType=image/png")
            .ok()
            .unwrap();
        let found: Vec<_> = asked.parameters.iter().collect();
        assert_eq!(found, [("window", "40,400,linear"), ("quality", "7"), ("viewport", "16384,16")]);
        assert_eq!(asked.accepts.best(Category::Any, OFFERS).unwrap(), Offer::single(PNG));
        assert!(matches!(read("").ok().unwrap().form, Form::Rendered { frame: None, region: None }));
        assert!(matches!(read("&contentType=application/dicom").ok().unwrap().form, Form::Instance));
    }
}

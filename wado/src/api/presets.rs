//! Windows that readers choose (PS3.3 §C.11.2.1.2), by modality.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer;
use crate::config::Config;
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::state::Web;

/// A window with a name, `[[web.window-presets]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WindowPreset {
    /// Whose values it is meant for, as in Modality (0008,0060).
    pub modality: String,
    /// What it is called: `abdomen`, `lung`, `bone`, `brain` and `mediastinum` are said in the reader's language.
    pub name: String,
    /// In the unit of the modality, which is Hounsfield's for CT.
    pub center: f64,
    pub width: f64,
}

impl WindowPreset {
    /// Those of CT, the only modality whose values mean the same on every device.
    pub(crate) fn usual() -> Vec<Self> {
        let ct = |name: &str, center, width| Self { modality: "CT".into(), name: name.into(), center, width };
        vec![
            ct("abdomen", 40.0, 400.0),
            ct("lung", -600.0, 1500.0),
            ct("bone", 450.0, 1800.0),
            ct("brain", 40.0, 80.0),
            ct("mediastinum", 50.0, 350.0),
        ]
    }
}

pub(super) async fn presets(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let parameters = Parameters::of(&parts.uri);
    let modality = parameters.get("modality");
    Ok(answer(&of(&web.config, |of| modality.is_none_or(|wanted| wanted == of))))
}

/// The presets of the modalities that are wanted.
pub(super) fn of(config: &Config, is_wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let wanted = config.window_presets.iter().filter(|preset| is_wanted(&preset.modality));
    wanted
        .map(|WindowPreset { modality, name, center, width }| {
            json!({ "modality": modality, "name": name, "center": center, "width": width })
        })
        .collect()
}

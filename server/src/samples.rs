//! Synthetic studies for the trial: a head made of ellipsoids in CT and MR, and a test pattern.

mod pattern;
mod phantom;

use bytes::Bytes;
use dicom_store::model::{
    Attributes, Encoding, FileMeta, Level, SopClassUid, SopInstanceUid, Tag, TransferSyntaxUid, VR,
    transfer_syntax,
};
use dicom_store::{Archive, Arrival, Caller, Declared, Origin, Query};
use tracing::info;

/// Root of the samples' UIDs, made from a UUID (PS3.5 §B.2): the same in every trial.
const ROOT: &str = "2.25.227419843301568274";

/// One image of a series.
struct Image {
    rows: u16,
    columns: u16,
    /// Stored values, row by row.
    pixels: Vec<u16>,
    /// Millimetres from the middle of the stack.
    position: f64,
}

/// What the images of a series have in common.
struct Series {
    study: u32,
    number: u32,
    sop_class: &'static str,
    modality: &'static str,
    study_description: &'static str,
    description: &'static str,
    patient: Patient,
    /// Millimetres between rows and columns.
    spacing: f64,
    intercept: i32,
    window: (i32, i32),
}

#[derive(Clone, Copy)]
struct Patient {
    name: &'static str,
    id: &'static str,
    birth_date: &'static str,
    sex: &'static str,
}

/// Stores the samples in an archive that has no instance yet.
///
/// # Errors
/// When the archive cannot be read or written.
pub(crate) async fn fill_if_empty(archive: &Archive) -> anyhow::Result<()> {
    let session = archive.acting_as(Caller::System("samples"));
    if session.count(&Query::new(Level::Study)).await?.found > 0 {
        return Ok(());
    }
    let mut count = 0;
    for (series, images) in tokio::task::spawn_blocking(all).await? {
        for (index, image) in (1u32..).zip(&images) {
            let arrival = Arrival { origin: Origin::Import, declared: Declared::File { study: None } };
            let mut incoming = session.receive(arrival).await?;
            incoming.write(series.file(index, image)?).await?;
            incoming.commit().await?;
            count += 1;
        }
    }
    info!(instances = count, "trial filled with synthetic studies");
    Ok(())
}

fn all() -> Vec<(Series, Vec<Image>)> {
    let an = Patient { name: "Nguyễn^Văn An", id: "TN-0001", birth_date: "19680512", sex: "M" };
    let dao = Patient { name: "Trần^Thị Đào", id: "TN-0002", birth_date: "19911130", sex: "F" };
    let doe = Patient { name: "Doe^Jane", id: "TN-0003", birth_date: "19750214", sex: "F" };
    let ct = Series {
        study: 1,
        number: 1,
        sop_class: "1.2.840.10008.5.1.4.1.1.2",
        modality: "CT",
        study_description: "CT sọ não",
        description: "Não 3 mm",
        patient: an,
        spacing: 0.8,
        intercept: -1024,
        window: (40, 80),
    };
    let mr = |number, description, window| Series {
        study: 2,
        number,
        sop_class: "1.2.840.10008.5.1.4.1.1.4",
        modality: "MR",
        study_description: "MRI sọ não",
        description,
        patient: dao,
        spacing: 1.0,
        intercept: 0,
        window,
    };
    let dx = Series {
        study: 3,
        number: 1,
        sop_class: "1.2.840.10008.5.1.4.1.1.1.1",
        modality: "DX",
        study_description: "Display test pattern",
        description: "Steps, bars and corners",
        patient: doe,
        spacing: 0.2,
        intercept: 0,
        window: (2048, 4096),
    };
    vec![
        (ct, phantom::head(phantom::Contrast::Ct, 256, 48, 3.0)),
        (mr(1, "T1 axial", (500, 1000)), phantom::head(phantom::Contrast::T1, 192, 24, 6.0)),
        (mr(2, "T2 axial", (600, 1200)), phantom::head(phantom::Contrast::T2, 192, 24, 6.0)),
        (dx, vec![pattern::display(1024)]),
    ]
}

impl Series {
    fn file(&self, index: u32, image: &Image) -> anyhow::Result<Bytes> {
        let instance = format!("{ROOT}.{}.{}.{index}", self.study, self.number);
        let attributes = self.attributes(&instance, index, image);
        let head = FileMeta::head(
            &SopClassUid::parse(self.sop_class)?,
            &SopInstanceUid::parse(&instance)?,
            &TransferSyntaxUid::parse(transfer_syntax::EXPLICIT_LITTLE)?,
            None,
        );
        Ok([head.as_ref(), &attributes.write(Encoding::ExplicitLittle)].concat().into())
    }

    fn attributes(&self, instance: &str, index: u32, image: &Image) -> Attributes {
        let mut data_set = Attributes::new();
        let study = format!("{ROOT}.{}", self.study);
        let series = format!("{study}.{}", self.number);
        let half = f64::from(image.columns) * self.spacing / 2.0;
        let Patient { name, id, birth_date, sex } = self.patient;
        let (center, width) = self.window;
        for (tag, vr, text) in [
            (Tag(0x0008, 0x0005), VR::CS, "ISO_IR 192".to_owned()),
            (Tag(0x0008, 0x0008), VR::CS, "ORIGINAL\\PRIMARY".to_owned()),
            (Tag(0x0008, 0x0016), VR::UI, self.sop_class.to_owned()),
            (Tag(0x0008, 0x0018), VR::UI, instance.to_owned()),
            (Tag(0x0008, 0x0020), VR::DA, format!("202601{:02}", 10 + self.study)),
            (Tag(0x0008, 0x0030), VR::TM, format!("{:02}1500", 7 + self.study)),
            (Tag(0x0008, 0x0050), VR::SH, format!("TN2026{:04}", self.study)),
            (Tag(0x0008, 0x0060), VR::CS, self.modality.to_owned()),
            (Tag(0x0008, 0x0070), VR::LO, "filmless".to_owned()),
            (Tag(0x0008, 0x0090), VR::PN, String::new()),
            (Tag(0x0008, 0x1030), VR::LO, self.study_description.to_owned()),
            (Tag(0x0008, 0x103E), VR::LO, self.description.to_owned()),
            (Tag(0x0010, 0x0010), VR::PN, name.to_owned()),
            (Tag(0x0010, 0x0020), VR::LO, id.to_owned()),
            (Tag(0x0010, 0x0030), VR::DA, birth_date.to_owned()),
            (Tag(0x0010, 0x0040), VR::CS, sex.to_owned()),
            (Tag(0x0018, 0x0050), VR::DS, "3".to_owned()),
            (Tag(0x0020, 0x000D), VR::UI, study.clone()),
            (Tag(0x0020, 0x000E), VR::UI, series),
            (Tag(0x0020, 0x0010), VR::SH, self.study.to_string()),
            (Tag(0x0020, 0x0011), VR::IS, self.number.to_string()),
            (Tag(0x0020, 0x0013), VR::IS, index.to_string()),
            (Tag(0x0020, 0x0032), VR::DS, format!("{:.1}\\{:.1}\\{:.1}", -half, -half, image.position)),
            (Tag(0x0020, 0x0037), VR::DS, "1\\0\\0\\0\\1\\0".to_owned()),
            (Tag(0x0020, 0x0052), VR::UI, format!("{study}.0")),
            (Tag(0x0028, 0x0004), VR::CS, "MONOCHROME2".to_owned()),
            (Tag(0x0028, 0x0030), VR::DS, format!("{}\\{}", self.spacing, self.spacing)),
            (Tag(0x0028, 0x1050), VR::DS, center.to_string()),
            (Tag(0x0028, 0x1051), VR::DS, width.to_string()),
            (Tag(0x0028, 0x1052), VR::DS, self.intercept.to_string()),
            (Tag(0x0028, 0x1053), VR::DS, "1".to_owned()),
        ] {
            data_set.put_text(tag, vr, &text);
        }
        for (element, number) in [
            (0x0002, 1),
            (0x0010, image.rows),
            (0x0011, image.columns),
            (0x0100, 16),
            (0x0101, 12),
            (0x0102, 11),
            (0x0103, 0),
        ] {
            data_set.put_u16(Tag(0x0028, element), number);
        }
        let pixels: Vec<u8> = image.pixels.iter().flat_map(|value| value.to_le_bytes()).collect();
        data_set.put_bytes(Tag(0x7FE0, 0x0010), VR::OW, pixels);
        data_set
    }
}

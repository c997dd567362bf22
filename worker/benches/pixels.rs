//! What pixels cost, in CPU time of the thread: `cargo bench -p worker`.
//!
//! Other programs on the machine do not count in it, so that a figure can be compared with another day's. The kernel
//! counts in steps of a millisecond or more, which is little beside a sample.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, FrameNumber, TransferSyntaxUid, VR, transfer_syntax};
use worker::pixel::{self, ImageInfo, Shown};
use worker::render::{self, Beside, Presentation};

/// Time that this thread has had a processor.
struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        thread_time()
    }

    fn end(&self, start: Duration) -> Duration {
        thread_time().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    #[expect(clippy::cast_precision_loss, reason = "some seconds")]
    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// As Linux tells it.
fn thread_time() -> Duration {
    // Switching to another thread brings the count up to date.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number of nanoseconds"))
}

/// A phantom of 12 bits in 16: an ellipse in air with a slope and noise in it, as a slice or a radiograph has them.
fn phantom(rows: u32, columns: u32) -> (Bytes, ImageInfo) {
    let mut attributes = Attributes::new();
    let size = |pixels: u32| u16::try_from(pixels).expect("a size of 16 bits");
    for (tag, value) in [
        (tags::ROWS, size(rows)),
        (tags::COLUMNS, size(columns)),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 12),
        (tags::SAMPLES_PER_PIXEL, 1),
    ] {
        attributes.put_u16(tag, value);
    }
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    attributes.put_text(tags::RESCALE_INTERCEPT, VR::DS, "-1024");
    attributes.put_text(tags::RESCALE_SLOPE, VR::DS, "1");
    attributes.put_text(tags::WINDOW_CENTER, VR::DS, "40");
    attributes.put_text(tags::WINDOW_WIDTH, VR::DS, "400");
    attributes.put_bytes(tags::PIXEL_DATA, VR::OW, Vec::new());
    let mut noise = 0x9E37_79B9_u32;
    let mut sample = |row: u32, column: u32| {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let off = |at: u32, whole: u32| (f64::from(at) / f64::from(whole) - 0.5) / 0.42;
        let is_inside = off(row, rows).powi(2) + off(column, columns).powi(2) < 1.0;
        let level = if is_inside { 1000 + (row + 2 * column) * 100 / columns } else { 24 };
        u16::try_from(level + noise % 24).expect("12 bits").to_le_bytes()
    };
    let bytes: Vec<u8> = (0..rows)
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .flat_map(|(r, c)| sample(r, c))
        .collect();
    (bytes.into(), ImageInfo::read(&attributes, FrameNumber::FIRST).expect("an image"))
}

fn syntax(uid: &str) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(uid).expect("a UID")
}

fn pixels(criterion: &mut Criterion<ThreadTime>) {
    let little = syntax(transfer_syntax::EXPLICIT_LITTLE);
    let (ct, of_ct) = phantom(512, 512);
    criterion.bench_function("thumbnail of a CT, 512 × 512 of 16 bits", |bench| {
        bench.iter(|| render::thumbnail(black_box(&ct), &of_ct, &little, render::THUMBNAIL));
    });

    let rpcl = syntax(transfer_syntax::HTJ2K_RPCL);
    let made = pixel::recode(&ct, &of_ct, &little, &rpcl, 90).expect("a stream");
    assert!(made.bytes.len() * 10 < ct.len() * 7, "{} bytes of {}", made.bytes.len(), ct.len());
    criterion.bench_function("the same to HTJ2K, decoded again and compared", |bench| {
        bench.iter(|| pixel::recode(black_box(&ct), &of_ct, &little, &rpcl, 90));
    });
    criterion.bench_function("the same from HTJ2K", |bench| {
        bench.iter(|| pixel::decode(black_box(&made.bytes), &of_ct, &rpcl));
    });

    let (dx, of_dx) = phantom(2500, 2000);
    let beside = Beside::default();
    criterion.bench_function("window of a DX, 2500 × 2000, to 8 bits", |bench| {
        bench.iter(|| {
            let decoded = pixel::decode(black_box(&dx), &of_dx, &little).expect("an image");
            pixel::to_bitmap(decoded, &Shown::AsProposed)
        });
    });
    criterion.bench_function("the same as a JPEG", |bench| {
        bench.iter(|| render::render(black_box(&dx), &of_dx, &little, &Presentation::default(), &beside));
    });
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .with_measurement(ThreadTime)
        .sample_size(20)
        .measurement_time(Duration::from_secs(8));
    targets = pixels
}
criterion_main!(all);

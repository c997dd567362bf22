//! `make bench`: what codecs cost as whole processes, beside the tools that come with the libraries others use.
//!
//! Each work is done for the same frame by a process of this program and by one of the tool, from a file to a file, in
//! turns, `CODECS_ROUNDS` times (20), so that starting it and reading the file count for both. What is compared is
//! the CPU time of the processes as the kernel counts it. A work whose tool is not installed is passed over with a sentence
//! (Debian: openjph-tools, libopenjp2-tools, libjpeg-turbo-progs, dcmtk).

#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, FrameNumber, TransferSyntaxUid, VR, transfer_syntax};
use tests::corpus::{NGUYEN, ct_of_size};
use tests::usage::children;
use worker::pixel::{self, Bitmap, Channels, Format, ImageInfo};
use worker::render::{self, Beside, Presentation};

const SLICE: u16 = 512;
const RADIOGRAPH: u16 = 2240;

/// A work, ours as a name below, and the commands of the tool: `IN` and `OUT` are files, the latter of one that of the next.
struct Work {
    name: &'static str,
    ours: &'static str,
    input: &'static str,
    tool: &'static [&'static [&'static str]],
}

const WORKS: &[Work] = &[
    Work {
        name: "CT to HTJ2K lossless, decoded again",
        ours: "htj2k",
        input: "slice.pgm",
        tool: &[
            &["ojph_compress", "-i", "IN", "-o", "OUT.j2c", "-reversible", "true", "-prog_order", "RPCL"],
            &["ojph_expand", "-i", "OUT.j2c", "-o", "OUT.pgm"],
        ],
    },
    Work {
        name: "CT to JPEG 2000 lossless, decoded again",
        ours: "jpeg-2000",
        input: "slice.pgm",
        tool: &[
            &["opj_compress", "-i", "IN", "-o", "OUT.j2k"],
            &["opj_decompress", "-i", "OUT.j2k", "-o", "OUT.pgm"],
        ],
    },
    Work {
        name: "radiograph of 8 bits to JPEG, quality 90",
        ours: "jpeg",
        input: "radiograph.pgm",
        tool: &[&["cjpeg", "-quality", "90", "-grayscale", "-outfile", "OUT.jpg", "IN"]],
    },
    Work {
        name: "radiograph of 12 bits, window, to JPEG, quality 90",
        ours: "render",
        input: "radiograph.dcm",
        tool: &[&["dcmj2pnm", "+oj", "+Jq", "90", "+Wi", "1", "IN", "OUT.jpg"]],
    },
];

fn main() -> Result<()> {
    let named: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let [work, input, output] = named.as_slice() {
        return one(work, Path::new(input), Path::new(output));
    }
    let rounds: u32 = env::var("CODECS_ROUNDS").map_or(Ok(20), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    put_inputs(folder.path())?;
    println!("CPU ms of whole processes, the mean of {rounds} in turns");
    for work in WORKS {
        let missing = work.tool.iter().filter_map(|command| command.first()).find(|tool| !is_installed(tool));
        if let Some(tool) = missing {
            println!("{:<52}{tool} is not installed", work.name);
            continue;
        }
        let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..rounds {
            ours += ours_of(work, folder.path())?;
            theirs += theirs_of(work, folder.path())?;
        }
        let mean = |all: Duration| all.as_secs_f64() * 1000.0 / f64::from(rounds.max(1));
        let (ours, theirs) = (mean(ours), mean(theirs));
        println!("{:<52}filmless {ours:>7.1}   tool {theirs:>7.1}   {:.2}", work.name, ours / theirs);
    }
    Ok(())
}

fn is_installed(tool: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(tool).is_file())
}

/// What the children of this process have used for it.
fn spent(command: &mut Command) -> Result<Duration> {
    let before = children()?;
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{command:?}: {output:?}");
    Ok(children()?.saturating_sub(before))
}

fn ours_of(work: &Work, folder: &Path) -> Result<Duration> {
    let mut command = Command::new(env::current_exe()?);
    spent(command.arg(work.ours).arg(folder.join(work.input)).arg(folder.join("ours")))
}

fn theirs_of(work: &Work, folder: &Path) -> Result<Duration> {
    let place = |word: &str| match word.strip_prefix("OUT") {
        Some(ending) => folder.join(format!("theirs{ending}")).into_os_string(),
        None if word == "IN" => folder.join(work.input).into_os_string(),
        None => word.into(),
    };
    let mut all = Duration::ZERO;
    for command in work.tool {
        let (tool, arguments) = command.split_first().context("a command")?;
        all += spent(Command::new(tool).args(arguments.iter().map(|word| place(word))))?;
    }
    Ok(all)
}

/// Samples of 12 bits: slopes with noise in it, as a slice or a radiograph has them.
fn samples(edge: u16) -> Vec<u16> {
    let mut noise = 0x9E37_79B9_u32;
    let mut sample = |row: u16, column: u16| {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let level = 1000 + (u32::from(row) + 2 * u32::from(column)) * 800 / u32::from(edge) + noise % 24;
        u16::try_from(level % 4096).unwrap_or_default()
    };
    (0..edge).flat_map(|row| (0..edge).map(move |column| (row, column))).map(|(r, c)| sample(r, c)).collect()
}

fn put_inputs(folder: &Path) -> Result<()> {
    let slice: Vec<u8> = samples(SLICE).iter().flat_map(|sample| sample.to_be_bytes()).collect();
    fs::write(
        folder.join("slice.pgm"),
        [format!("P5\n{SLICE} {SLICE}\n4095\n").as_bytes(), &slice].concat(),
    )?;
    let large = samples(RADIOGRAPH);
    let eight: Vec<u8> = large.iter().map(|sample| u8::try_from(sample >> 4).unwrap_or(u8::MAX)).collect();
    let head = format!("P5\n{RADIOGRAPH} {RADIOGRAPH}\n255\n");
    fs::write(folder.join("radiograph.pgm"), [head.as_bytes(), &eight].concat())?;
    let radiograph = ct_of_size(NGUYEN, 1, RADIOGRAPH).pop().context("an image")?;
    let mut file = radiograph.file().to_vec();
    let pixels: Vec<u8> = large.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let start = file.len().checked_sub(pixels.len()).context("an image with its pixels")?;
    file.truncate(start);
    file.extend(pixels);
    fs::write(folder.join("radiograph.dcm"), file)?;
    Ok(())
}

/// One work in this process.
fn one(work: &str, input: &Path, output: &Path) -> Result<()> {
    let file = fs::read(input)?;
    let little = syntax(transfer_syntax::EXPLICIT_LITTLE)?;
    let made = match work {
        "htj2k" | "jpeg-2000" => {
            let pixels =
                file.len().checked_sub(usize::from(SLICE) * usize::from(SLICE) * 2).context("a slice")?;
            let (words, _) = file.get(pixels..).context("a slice")?.as_chunks::<2>();
            let frame: Vec<u8> = words.iter().flat_map(|[high, low]| [*low, *high]).collect();
            let wanted = if work == "htj2k" {
                transfer_syntax::HTJ2K_RPCL
            } else {
                transfer_syntax::JPEG_2000_LOSSLESS
            };
            pixel::recode(&Bytes::from(frame), &info(SLICE)?, &little, &syntax(wanted)?, 90)?.bytes.to_vec()
        }
        "jpeg" => {
            let pixels = usize::from(RADIOGRAPH) * usize::from(RADIOGRAPH);
            let bytes = file.get(file.len().saturating_sub(pixels)..).context("a radiograph")?.to_vec();
            let side = u32::from(RADIOGRAPH);
            let picture = Bitmap { width: side, height: side, channels: Channels::Grey, bytes };
            pixel::encode(&picture, Format::Jpeg { quality: 90 }, None)?
        }
        "render" => {
            let pixels = usize::from(RADIOGRAPH) * usize::from(RADIOGRAPH) * 2;
            let frame = file.get(file.len().saturating_sub(pixels)..).context("a radiograph")?;
            render::render(frame, &info(RADIOGRAPH)?, &little, &Presentation::default(), &Beside::default())?
        }
        other => bail!("{other} is no work"),
    };
    fs::write(output, made)?;
    Ok(())
}

fn syntax(uid: &str) -> Result<TransferSyntaxUid> {
    Ok(TransferSyntaxUid::parse(uid)?)
}

/// What the data set of the images says, that of the file of the radiograph too.
fn info(edge: u16) -> Result<ImageInfo> {
    let mut attributes = Attributes::new();
    for (tag, value) in [
        (tags::ROWS, edge),
        (tags::COLUMNS, edge),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 12),
        (tags::SAMPLES_PER_PIXEL, 1),
    ] {
        attributes.put_u16(tag, value);
    }
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    for (tag, value) in [
        (tags::RESCALE_INTERCEPT, "-1024"),
        (tags::RESCALE_SLOPE, "1"),
        (tags::WINDOW_CENTER, "1040"),
        (tags::WINDOW_WIDTH, "400"),
    ] {
        attributes.put_text(tag, VR::DS, value);
    }
    attributes.put_bytes(tags::PIXEL_DATA, VR::OW, Vec::new());
    Ok(ImageInfo::read(&attributes, FrameNumber::FIRST)?)
}

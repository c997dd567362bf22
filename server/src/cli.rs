//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A PACS: takes images from every modality, never loses one, shows them in a browser.
#[derive(Debug, Parser)]
#[command(name = "filmless", version, about)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves DIMSE, DICOMweb and the viewer until it is told to stop (SIGTERM, Ctrl-C)
    Serve {
        #[command(flatten)]
        settings: Flags,
        /// Fills an empty archive with synthetic studies to look at
        #[arg(long)]
        samples: bool,
    },
    /// Prints the settings in effect, defaults included, or what is wrong with them
    CheckConfig {
        #[command(flatten)]
        settings: Flags,
    },
    /// Stores every DICOM file of folders, of media with a DICOMDIR, and by itself; or all that another archive has
    Import {
        #[arg(required_unless_present = "from", value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Brings over another archive instead: a peer that is known here, or AET@HOST:PORT. Run again, it goes on
        #[arg(long, value_name = "PEER", conflicts_with = "paths")]
        from: Option<String>,
        /// With --from: studies of this day and later
        #[arg(long, value_name = "YYYYMMDD", requires = "from")]
        since: Option<String>,
        /// With --from: studies of this day and before
        #[arg(long, value_name = "YYYYMMDD", requires = "from")]
        until: Option<String>,
        /// With --from: MiB a second, at the most; as fast as it goes without
        #[arg(long, value_name = "MIB", requires = "from")]
        pace: Option<u64>,
        /// With --from: studies at a time, no more than the peer's max-associations
        #[arg(long, value_name = "STUDIES", default_value_t = 2, requires = "from")]
        at_a_time: usize,
        /// With --from: a table of what became of each study
        #[arg(long, value_name = "FILE", requires = "from")]
        report: Option<PathBuf>,
        #[command(flatten)]
        settings: Flags,
    },
    /// Makes the index anew from the packs
    Reindex {
        #[command(flatten)]
        settings: Flags,
    },
    /// Reads everything that is kept and compares it with the digests of what came; tells what is damaged
    Scrub {
        /// MiB a second, at the most; as fast as it goes without
        #[arg(long, value_name = "MIB")]
        pace: Option<u64>,
        #[command(flatten)]
        settings: Flags,
    },
    /// Sends a C-ECHO to a peer that is known here, or to AET@HOST:PORT
    Echo {
        /// Its AE title, or AET@HOST:PORT
        #[arg(id = "called", value_name = "PEER")]
        peer: String,
        #[command(flatten)]
        settings: Flags,
    },
}

/// What wins over the file of settings and the environment.
#[derive(Debug, Default, Args)]
pub struct Flags {
    /// File of settings; `filmless.toml` in the working folder where that is there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the archive
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where DIMSE listens
    #[arg(long, value_name = "ADDR")]
    pub dimse: Option<SocketAddr>,
    /// Where DIMSE listens within TLS; 0.0.0.0:2762 where a certificate is set
    #[arg(long, value_name = "ADDR")]
    pub dimse_tls: Option<SocketAddr>,
    /// Certificate of DICOM TLS, PEM
    #[arg(long, value_name = "FILE")]
    pub dimse_tls_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE")]
    pub dimse_tls_key: Option<PathBuf>,
    /// The CAs that certificates of peers come from, PEM
    #[arg(long, value_name = "FILE")]
    pub dimse_tls_ca: Option<PathBuf>,
    /// Our AE title
    #[arg(long, value_name = "AET")]
    pub ae_title: Option<String>,
    /// Where HTTP listens
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// A remote AE that may query and retrieve, and be sent to; may be given again
    #[arg(long, value_name = "AET=HOST:PORT")]
    pub peer: Vec<String>,
    /// Where the index is
    #[arg(long, value_name = "URL")]
    pub index: Option<String>,
    /// Where the sealed packs are
    #[arg(long, value_name = "URL")]
    pub objects: Option<String>,
    /// Trial: everybody on this machine is let in without a sign-in; loopback addresses only
    #[arg(long)]
    pub open: bool,
    /// Certificate of HTTPS in PEM, with those between it and an authority that clients know
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of the certificate in PEM, without a passphrase
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// HTTP may listen on other addresses than loopback: a proxy in front adds TLS
    #[arg(long)]
    pub behind_proxy: bool,
}

//! R: what the disk does, one 256-byte write and fdatasync after another in a file filled with zeros.

use crate::failure::Failure;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const RECORD: usize = 256;
const FILE_BYTES: u64 = 8 << 20;
const SECONDS: f64 = 0.4;

/// Measures R on the disk that holds a directory.
pub(crate) fn fdatasync_per_s(dir: &Path) -> Result<f64, Failure> {
    let held = tempfile::Builder::new().prefix("raw-").tempfile_in(dir)?;
    let file = OpenOptions::new().write(true).open(held.path())?;
    file.write_all_at(&vec![0; usize::try_from(FILE_BYTES)?], 0)?;
    file.sync_all()?;
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < Duration::from_secs_f64(SECONDS) {
        let at = count * RECORD as u64 % FILE_BYTES;
        file.write_all_at(&[1; RECORD], at)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

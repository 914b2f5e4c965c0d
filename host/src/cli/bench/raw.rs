//! R: how often a second the disk makes 256 bytes durable.
//!
//! The file is filled with zeros first: with blocks that exist and have been written, fdatasync has
//! no metadata to write, which is the best a log can have.

use super::point::{Meter, Point};
use crate::cli::failure::Failure;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

const RECORD: usize = 256;
const FILE_BYTES: usize = 32 << 20;

/// The file to write to.
pub(super) struct Raw {
    file: File,
    at: u64,
    slices: Vec<Point>,
}

impl Raw {
    /// Makes the file and fills it.
    pub(super) fn prepare(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join("raw");
        let failed = |error: std::io::Error| Failure::file(path.display(), &error);
        let options = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = options.map_err(failed)?;
        let zeros = vec![0; 1 << 20];
        for at in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at as u64).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        Ok(Raw { file, at: 0, slices: Vec::new() })
    }

    /// Measures a slice.
    pub(super) fn slice(&mut self, seconds: f64) -> Result<(), Failure> {
        let mut meter = Meter::start(seconds)?;
        let record = [0xa5; RECORD];
        loop {
            let start = Instant::now();
            if meter.is_over(start) {
                break;
            }
            let failed = |error| Failure::file("the raw file", &error);
            self.file.write_all_at(&record, self.at).map_err(failed)?;
            self.file.sync_data().map_err(failed)?;
            self.at = (self.at + RECORD as u64) % FILE_BYTES as u64;
            meter.answered(start, Instant::now());
        }
        self.slices.push(meter.point());
        Ok(())
    }

    /// The slice in the middle, and how far the others are apart: the slowest by the fastest.
    pub(super) fn median(&self) -> (Point, f64) {
        let mut slices = self.slices.clone();
        slices.sort_by(|a, b| a.per_s.total_cmp(&b.per_s));
        let none = Point { per_s: 0.0, p50_us: 0, p99_us: 0 };
        let middle = slices.get(slices.len() / 2).copied().unwrap_or(none);
        let rate = |point: Option<&Point>| point.map_or(1.0, |point| point.per_s.max(1.0));
        (middle, rate(slices.first()) / rate(slices.last()))
    }
}

//! A component out of a folder with an OCI image layout: `oci-layout`, `index.json`, and everything else
//! under its SHA-256 in `blobs`. Each blob must have the digest and the size that its place says.

use super::failure::Failure;
use super::{exit, input};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::path::Path;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// A component or module, as a layer.
const WASM: &str = "application/wasm";
/// The annotation that names an image of a layout.
const NAME: &str = "org.opencontainers.image.ref.name";
/// How deep an index may lie in an index.
const DEPTH_MAX: usize = 4;
/// Images of one index that are looked at.
const IMAGES_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// The component of the one image, or of the image with a tag.
pub(crate) fn component(layout: &Path, tag: Option<&str>) -> Result<Vec<u8>, Failure> {
    let version: Layout = parse(&layout.join("oci-layout"))?;
    if !version.image_layout_version.starts_with("1.") {
        let found = version.image_layout_version;
        return Err(Failure::usage(format!("an OCI layout of version {found}, not of version 1")));
    }
    let index: Index = parse(&layout.join("index.json"))?;
    let image = choose(index.manifests, tag)?;
    let manifest = manifest(layout, image, 0)?;
    let mut layers = manifest.layers.into_iter().filter(|layer| layer.media_type == WASM);
    match (layers.next(), layers.next()) {
        (Some(layer), None) => blob(layout, &layer),
        (None, _) => Err(Failure::usage(format!("the image has no layer of type {WASM}"))),
        _ => Err(Failure::usage(format!("the image has more than one layer of type {WASM}"))),
    }
}

fn choose(images: Vec<Descriptor>, tag: Option<&str>) -> Result<Descriptor, Failure> {
    let tags = || {
        let named = images.iter().take(IMAGES_MAX).filter_map(|image| image.annotations.get(NAME));
        named.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let found: Vec<_> = match tag {
        None => images.iter().collect(),
        Some(tag) => {
            images.iter().filter(|i| i.annotations.get(NAME).is_some_and(|n| n == tag)).collect()
        }
    };
    match (found.as_slice(), tag) {
        ([image], _) => Ok((*image).clone()),
        ([], Some(tag)) => {
            Err(Failure::not_found(format!("the layout has no image {tag}; it has: {}", tags())))
        }
        ([], None) => Err(Failure::usage("the layout has no image")),
        _ => Err(Failure::usage(format!("name one image with --tag; there are: {}", tags()))),
    }
}

/// The manifest of an image, through an index if it lies in one.
fn manifest(layout: &Path, image: Descriptor, depth: usize) -> Result<Manifest, Failure> {
    let content = blob(layout, &image)?;
    let json = |error| Failure::usage(format!("{}: {error}", image.digest));
    match image.media_type.as_str() {
        MANIFEST => serde_json::from_slice(&content).map_err(json),
        INDEX if depth < DEPTH_MAX => {
            let index: Index = serde_json::from_slice(&content).map_err(json)?;
            manifest(layout, choose(index.manifests, None)?, depth + 1)
        }
        other => Err(Failure::usage(format!("{} is {other}, not an image", image.digest))),
    }
}

/// The content of a blob, if it is what its descriptor says.
fn blob(layout: &Path, descriptor: &Descriptor) -> Result<Vec<u8>, Failure> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    // Nothing else becomes part of a path.
    let digits = descriptor.digest.strip_prefix("sha256:");
    let Some(digits) = digits.filter(|d| d.len() == 64 && d.bytes().all(hex)) else {
        let found = descriptor.digest.escape_debug();
        return Err(Failure::usage(format!("{found} is no digest like sha256:64 digits")));
    };
    let path = layout.join("blobs/sha256").join(digits);
    let content = input::file(&path)?;
    if content.len() as u64 != descriptor.size {
        let (found, size) = (content.len(), descriptor.size);
        let why = format!("{}: {found} bytes, its descriptor says {size}", path.display());
        return Err(Failure::new(exit::DAMAGED, why));
    }
    let found: String = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
    if found != digits {
        let why = format!("{}: its content has the digest sha256:{found}", path.display());
        return Err(Failure::new(exit::DAMAGED, why));
    }
    Ok(content)
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Failure> {
    let content = input::file(path)?;
    serde_json::from_slice(&content)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

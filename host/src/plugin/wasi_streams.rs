//! The streams of the virtual WASI: input is at its end, output goes to the log, and all is ready.

use super::guest::{Guest, count};
use super::limits::HostError;
use super::wasi::{Host, InputStream, IoError, OutputStream, Pollable, handle, print};
use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource, WasmList};

/// Bytes that a guest may write at a time.
const WRITE_BYTES_MAX: u64 = 64 * 1024;

/// Why a stream gives or takes nothing.
#[derive(ComponentType, Lower, Lift)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    Failed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type Streamed<T> = std::result::Result<T, StreamError>;
type In = Resource<InputStream>;
type Out = Resource<OutputStream>;

/// Defines one function: counts the call, and answers.
macro_rules! define {
    ($instance:ident, $function:ident, |$store:ident, $args:tt : $types:ty| -> $result:ty $body:block) => {
        $instance.func_wrap($function, |mut $store: Host<'_>, $args: $types| {
            count(&mut $store)?;
            let answer: $result = $body;
            Ok((answer,))
        })?
    };
}

/// Defines a function. False if it is none of these.
pub(super) fn define(
    instance: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    function: &str,
) -> Result<bool> {
    match (interface, function) {
        ("wasi:io/error", "[method]error.to-debug-string") => {
            define!(instance, function, |store, (_error,): (Resource<IoError>,)| -> String {
                String::new()
            });
        }
        ("wasi:io/poll", "[method]pollable.ready") => {
            define!(instance, function, |store, (_one,): (Resource<Pollable>,)| -> bool { true });
        }
        ("wasi:io/poll", "[method]pollable.block") => {
            instance.func_wrap(function, |mut store, (_one,): (Resource<Pollable>,)| {
                count(&mut store)
            })?;
        }
        ("wasi:io/poll", "poll") => {
            define!(instance, function, |store,
                                         (all,): (WasmList<Resource<Pollable>>,)|
             -> Vec<u32> {
                if all.len() == 0 {
                    return Err(HostError::Misuse("it polls nothing".to_owned()).into());
                }
                (0..u32::try_from(all.len()).unwrap_or(u32::MAX)).collect()
            });
        }
        ("wasi:io/streams", "[method]input-stream.read" | "[method]input-stream.blocking-read") => {
            define!(instance, function, |store, (_in, _len): (In, u64)| -> Streamed<Vec<u8>> {
                Err(StreamError::Closed)
            });
        }
        ("wasi:io/streams", "[method]input-stream.skip" | "[method]input-stream.blocking-skip") => {
            define!(instance, function, |store, (_in, _len): (In, u64)| -> Streamed<u64> {
                Err(StreamError::Closed)
            });
        }
        ("wasi:io/streams", "[method]input-stream.subscribe") => {
            define!(instance, function, |store, (_in,): (In,)| -> Resource<Pollable> {
                handle(&mut store, 0)?
            });
        }
        ("wasi:io/streams", _) => return define_output(instance, function),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The same for the functions of `output-stream`.
fn define_output(instance: &mut LinkerInstance<'_, Guest>, function: &str) -> Result<bool> {
    match function {
        "[method]output-stream.check-write" => {
            define!(instance, function, |store, (_out,): (Out,)| -> Streamed<u64> {
                Ok(WRITE_BYTES_MAX)
            });
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            define!(instance, function, |store,
                                         (out, bytes): (Out, WasmList<u8>)|
             -> Streamed<()> {
                if bytes.len() as u64 > WRITE_BYTES_MAX {
                    let why = format!("it writes {} bytes at once", bytes.len());
                    return Err(HostError::Misuse(why).into());
                }
                let bytes = bytes.as_le_slice(&store).to_vec();
                print(&mut store, out.rep(), &bytes)?;
                Ok(())
            });
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            define!(instance, function, |store, (_out,): (Out,)| -> Streamed<()> { Ok(()) });
        }
        "[method]output-stream.write-zeroes"
        | "[method]output-stream.blocking-write-zeroes-and-flush" => {
            define!(instance, function, |store, (_out, _len): (Out, u64)| -> Streamed<()> {
                Ok(())
            });
        }
        "[method]output-stream.subscribe" => {
            define!(instance, function, |store, (_out,): (Out,)| -> Resource<Pollable> {
                handle(&mut store, 0)?
            });
        }
        "[method]output-stream.splice" | "[method]output-stream.blocking-splice" => {
            define!(instance, function, |store,
                                         (_out, _in, _len): (Out, In, u64)|
             -> Streamed<u64> { Err(StreamError::Closed) });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

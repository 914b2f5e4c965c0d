//! `import`: events from a file, one append for each row.

mod args;
mod decimal;
mod mapping;
mod refused;
mod source;
mod submit;
mod summary;

use super::args::Global;
use super::connect::{Missing, connect};
use super::failure::Failure;
use super::output::Out;
pub(crate) use args::Import;
use refused::Refused;
use source::Source;

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Import, out: &mut Out) -> Result<(), Failure> {
    let source = Source::open(&args)?;
    let plan = mapping::Plan::new(&args, source.columns())?;
    let mut refused = Refused::create(args.rejected.as_deref(), &source)?;
    let connection = connect(global, Missing::Create).await?;
    let counted = submit::all(&connection.client, &args, source, &plan, &mut refused).await;
    let shown = counted.and_then(|summary| {
        refused.finish()?;
        summary.show(out)
    });
    shown.and(connection.close().await)
}

//! Checks of what guests answer, and of what operators hand over.

use crate::limits::cap;
use crate::{Invalid, Limits, LoadOptions, Reason};

/// Bytes of an ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

impl Limits {
    /// Checks the reasons of a refusal, which come from a guest.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that breaks a rule.
    pub fn check_reasons(&self, reasons: &[Reason]) -> Result<(), Invalid> {
        if reasons.is_empty() {
            return Err(Invalid::new("reasons", "a refusal needs at least one reason"));
        }
        cap("reasons", "reasons", reasons.len(), self.reasons_max)?;
        for reason in reasons {
            cap("reason code", "bytes", reason.code.len(), self.reason_code_bytes_max)?;
            self.check_message("reason message", &reason.message)?;
            self.check_answer_data("reason data", reason.data.as_deref())?;
            cap("reason seqs", "seqs", reason.seqs.len(), self.append_events_max)?;
        }
        Ok(())
    }

    /// Checks a sentence from a guest.
    ///
    /// # Errors
    /// [`Invalid`] if it is too long.
    pub fn check_message(&self, field: &str, text: &str) -> Result<(), Invalid> {
        cap(field, "bytes", text.len(), self.reason_message_bytes_max)
    }

    /// Checks data from a guest to the caller.
    ///
    /// # Errors
    /// [`Invalid`] if there is too much of it.
    pub fn check_answer_data(&self, field: &str, data: Option<&[u8]>) -> Result<(), Invalid> {
        cap(field, "bytes", data.map_or(0, <[u8]>::len), self.answer_data_bytes_max)
    }

    /// Checks a binding's configuration.
    ///
    /// # Errors
    /// [`Invalid`] if it is too long.
    pub fn check_config(&self, config: Option<&[u8]>) -> Result<(), Invalid> {
        cap("config", "bytes", config.map_or(0, <[u8]>::len), self.config_bytes_max)
    }

    /// Checks one part of a scope that is restored.
    ///
    /// # Errors
    /// [`Invalid`] if it has too many records or bytes.
    pub fn check_restore(&self, records: usize, bytes: usize) -> Result<(), Invalid> {
        cap("records", "records", records, self.restore_records_max)?;
        cap("records", "bytes in all", bytes, self.restore_bytes_max)
    }

    /// Checks the size of a component.
    ///
    /// # Errors
    /// [`Invalid`] if it is empty or too large.
    pub fn check_component(&self, bytes: usize) -> Result<(), Invalid> {
        if bytes == 0 {
            return Err(Invalid::new("component", "the file is empty"));
        }
        cap("component", "bytes", bytes, self.component_bytes_max)
    }

    /// Checks a query from outside.
    ///
    /// # Errors
    /// [`Invalid`] if it is too large.
    pub fn check_query(&self, name: &str, args: &[u8]) -> Result<(), Invalid> {
        cap("query", "bytes", name.len() + args.len(), self.query_args_bytes_max)
    }

    /// Checks a query's answer, which comes from a guest.
    ///
    /// # Errors
    /// [`Invalid`] if it is too large.
    pub fn check_query_answer(&self, answer: &[u8]) -> Result<(), Invalid> {
        cap("query answer", "bytes", answer.len(), self.query_answer_bytes_max)
    }

    /// Checks a snapshot, which comes from a guest.
    ///
    /// # Errors
    /// [`Invalid`] if it is too large.
    pub fn check_snapshot(&self, state: &[u8]) -> Result<(), Invalid> {
        cap("snapshot", "bytes", state.len(), self.snapshot_bytes_max)
    }

    /// Checks what whoever loads a component asks for.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that breaks a rule.
    pub fn check_load(&self, options: &LoadOptions) -> Result<(), Invalid> {
        self.check_config(options.config.as_deref())?;
        match &options.signature {
            Some(signature) if signature.len() != SIGNATURE_BYTES => {
                let why = format!("{} bytes, a signature has {SIGNATURE_BYTES}", signature.len());
                Err(Invalid::new("signature", why))
            }
            _ => Ok(()),
        }
    }
}

//! The files of new projects, out of the tree that the program was built from; build.rs collects them.

include!(concat!(env!("OUT_DIR"), "/project_files.rs"));

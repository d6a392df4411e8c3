//! Says what the compiler cannot see: the page is part of the program, files that are new in it included.

fn main() {
    println!("cargo::rerun-if-changed=../../web/dist");
}

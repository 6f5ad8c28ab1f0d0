fn main() {
    // There is no std to bring the C library along, which has `main`'s caller and the allocator.
    println!("cargo:rustc-link-lib=c");
}

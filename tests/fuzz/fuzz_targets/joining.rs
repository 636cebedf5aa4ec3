#![no_main]
#![allow(
    missing_docs,
    unsafe_code,
    reason = "the macro makes an exported function"
)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hearth_fuzz::joining(data));

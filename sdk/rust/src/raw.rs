//! The functions of the host as they are, for what the kit does not offer.
//! Natively they do nothing: services are unknown, and outputs are dropped.

use crate::Errno;

/// Bytes of one log, fail or progress message.
pub const MAX_MESSAGE: usize = 16384;

#[cfg(target_arch = "wasm32")]
mod host {
    #[link(wasm_import_module = "uniflow")]
    extern "C" {
        pub fn input_size() -> i32;
        pub fn input_read(dst: *mut u8, off: u32, len: u32) -> i32;
        pub fn output(name: *const u8, name_len: u32, value: *const u8, value_len: u32) -> i32;
        pub fn log(level: i32, msg: *const u8, len: u32);
        pub fn fail(kind: i32, msg: *const u8, len: u32) -> i32;
        pub fn progress(permille: i32, msg: *const u8, len: u32) -> i32;
        pub fn call(op: *const u8, op_len: u32, req: *const u8, req_len: u32) -> i32;
        pub fn call_read(dst: *mut u8, off: u32, len: u32) -> i32;
        pub fn call_write(src: *const u8, len: u32) -> i32;
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::missing_safety_doc)]
mod host {
    pub unsafe fn input_size() -> i32 {
        0
    }
    pub unsafe fn input_read(_: *mut u8, _: u32, _: u32) -> i32 {
        0
    }
    pub unsafe fn output(_: *const u8, _: u32, _: *const u8, _: u32) -> i32 {
        0
    }
    pub unsafe fn log(_: i32, _: *const u8, _: u32) {}
    pub unsafe fn fail(kind: i32, _: *const u8, _: u32) -> i32 {
        i32::from(kind < 0)
    }
    pub unsafe fn progress(_: i32, _: *const u8, _: u32) -> i32 {
        0
    }
    pub unsafe fn call(_: *const u8, _: u32, _: *const u8, _: u32) -> i32 {
        -8
    }
    pub unsafe fn call_read(_: *mut u8, _: u32, _: u32) -> i32 {
        0
    }
    pub unsafe fn call_write(_: *const u8, _: u32) -> i32 {
        0
    }
}

// Safety of all calls below: the host reads and writes within the memory that
// pointer and length of a live slice name, and keeps no pointer.

/// Sets a named output to a JSON value.
pub fn output(name: &str, value: &str) -> Result<(), Errno> {
    let n = unsafe { host::output(name.as_ptr(), name.len() as u32, value.as_ptr(), value.len() as u32) };
    check(n).map(|_| ())
}

/// Logs a line at a level from 0 (trace) to 4 (error).
pub fn log(level: i32, message: &str) {
    let message = clip(message, MAX_MESSAGE);
    unsafe { host::log(level, message.as_ptr(), message.len() as u32) }
}

/// Records why the attempt does not succeed; 0 or a negated error number.
pub fn fail(kind: i32, message: &str) -> i32 {
    unsafe { host::fail(kind, message.as_ptr(), message.len() as u32) }
}

/// Says how far the step is, in thousandths; true when the attempt is being cancelled.
pub fn progress(permille: i32, message: &str) -> bool {
    let message = clip(message, MAX_MESSAGE);
    unsafe { host::progress(permille, message.as_ptr(), message.len() as u32) == 1 }
}

/// The run context.
pub fn input() -> Result<Vec<u8>, Errno> {
    let size = check(unsafe { host::input_size() })?;
    read(size, |dst, off, len| unsafe { host::input_read(dst, off, len) })
}

/// Calls a service; body is the part of the request that is not JSON. The
/// error comes with what the host says about it, as JSON.
pub fn call(op: &str, request: &str, body: &[u8]) -> Result<Vec<u8>, (Errno, Vec<u8>)> {
    let answer = || {
        if !body.is_empty() {
            check(unsafe { host::call_write(body.as_ptr(), body.len() as u32) })?;
        }
        let size = check(unsafe { host::call(op.as_ptr(), op.len() as u32, request.as_ptr(), request.len() as u32) })?;
        read(size, response)
    };
    // Code, message and hint are at most that long.
    answer().map_err(|errno| (errno, read(3 * MAX_MESSAGE, response).unwrap_or_default()))
}

fn response(dst: *mut u8, off: u32, len: u32) -> i32 {
    unsafe { host::call_read(dst, off, len) }
}

/// Copies at most size bytes from the host, by as many slices as it takes.
fn read(size: usize, from: impl Fn(*mut u8, u32, u32) -> i32) -> Result<Vec<u8>, Errno> {
    let mut buf = vec![0; size];
    let mut done = 0;
    while done < size {
        let part = &mut buf[done..];
        match check(from(part.as_mut_ptr(), done as u32, part.len() as u32))? {
            0 => break,
            n => done += n,
        }
    }
    buf.truncate(done);
    Ok(buf)
}

fn check(result: i32) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno::of(result))
}

/// Shortens a text to so many bytes without cutting a character.
pub fn clip(s: &str, most: usize) -> &str {
    let mut end = most.min(s.len());
    while !s.is_char_boundary(end) {
        end -= 1;
    }
    &s[..end]
}

/// The name of the member that an identifier stands for; used by `record!`.
#[doc(hidden)]
pub fn member_name(identifier: &str) -> &str {
    identifier.strip_prefix("r#").unwrap_or(identifier)
}

#[cfg(test)]
mod tests {
    #[test]
    fn texts_are_clipped_between_characters() {
        assert_eq!(super::clip("aü", 2), "a");
        assert_eq!(super::clip("aü", 3), "aü");
        assert_eq!(super::clip("ü", 0), "");
    }
}

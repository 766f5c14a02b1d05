//! The functions as a C program calls them, over simulated devices.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::device::sim::SimDevice;
use crate::op::{DeviceCall, FaultError, GRANULE, StreamId};
use crate::{Forwarder, SharedDevice, bind, codes, driver, exports, nvml, runtime, with};

/// A process has one runtime, and tests share a process.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn installed(devices: u32) -> MutexGuard<'static, ()> {
    let turn = turn();
    let device = |index| Box::new(SimDevice::new(index, 16 * GRANULE, 3)) as SharedDevice;
    crate::install((0..devices).map(device).collect());
    turn
}

fn on<R>(device: usize, act: impl FnOnce(&mut SharedDevice) -> R) -> R {
    with(|runtime| runtime.device_mut(device).map(act)).flatten().expect("it was installed")
}

fn free_granules() -> usize {
    let (mut free, mut total) = (0, 0);
    assert_eq!(runtime::mem_get_info(&mut free, &mut total), codes::SUCCESS);
    free / GRANULE as usize
}

fn misuse() -> Vec<String> {
    let all = with(|runtime| runtime.take_misuse()).expect("it was installed");
    all.into_iter().map(|misuse| format!("{}: {}", misuse.call, misuse.what)).collect()
}

#[test]
fn memory_comes_from_the_current_device_and_lack_of_it_is_no_lasting_error() {
    let _turn = installed(2);
    let mut pointer = 0;
    assert_eq!(runtime::set_device(1), codes::SUCCESS);
    assert_eq!(runtime::malloc(&mut pointer, 3 << 20), codes::SUCCESS);
    assert_eq!((free_granules(), runtime::set_device(0), free_granules()), (14, 0, 16));
    assert_eq!(runtime::malloc(&mut 0, 1 << 40), codes::OUT_OF_MEMORY);
    assert_eq!((runtime::peek_at_last_error(), runtime::get_last_error()), (2, 2));
    assert_eq!(runtime::get_last_error(), codes::SUCCESS);
    assert_eq!(runtime::free(pointer), codes::SUCCESS, "from whichever device");
    assert_eq!(runtime::set_device(2), codes::INVALID_DEVICE);
    assert_eq!(runtime::malloc(std::ptr::null_mut(), 1), codes::INVALID_VALUE);
    assert!(misuse().is_empty());
    assert_eq!(runtime::free(pointer), codes::INVALID_VALUE);
    assert_eq!(misuse(), [format!("cudaFree: no segment starts at {pointer:#x}")]);
}

#[test]
fn an_event_is_done_when_the_work_before_it_is() {
    let _turn = installed(2);
    let stream = on(0, |device| device.stream_handle(StreamId(1))).0 as usize;
    let mut event = 0;
    assert_eq!(runtime::event_create_with_flags(&mut event, 2), codes::SUCCESS);
    assert_eq!(runtime::event_query(event), codes::SUCCESS, "it waits for nothing");
    on(0, |device| device.occupy(StreamId(1))).expect("the stream is there");
    assert_eq!(runtime::event_record(event, stream), codes::SUCCESS);
    assert_eq!(runtime::event_query(event), codes::NOT_READY);
    on(0, |device| device.finish(StreamId(1))).expect("the stream is there");
    assert_eq!(runtime::event_query(event), codes::SUCCESS);
    let other = on(1, |device| device.stream_handle(StreamId(1))).0 as usize;
    assert_eq!(runtime::event_record(event, other), codes::INVALID_HANDLE, "a stream of another device");
    assert_eq!(runtime::event_record(event, 12345), codes::INVALID_HANDLE);
    assert_eq!(runtime::event_destroy(event), codes::SUCCESS);
    assert_eq!(runtime::event_query(event), codes::INVALID_HANDLE);
}

#[test]
fn what_a_capture_forbids_is_allowed_to_a_thread_that_relaxes_it() {
    let _turn = installed(1);
    let stream = on(0, |device| device.stream_handle(StreamId(1)));
    let mut event = 0;
    assert_eq!(runtime::event_create_with_flags(&mut event, 2), codes::SUCCESS);
    assert_eq!(runtime::event_record(event, stream.0 as usize), codes::SUCCESS);
    with(|runtime| runtime.set_capturing(stream, true));
    on(0, |device| device.capture(true));
    let (mut status, mut id) = (9, 0);
    assert_eq!(runtime::stream_is_capturing(stream.0 as usize, &mut status), codes::SUCCESS);
    assert_eq!(status, 1);
    assert_eq!(runtime::event_query(event), 900);
    let mut mode = 2;
    assert_eq!(runtime::thread_exchange_stream_capture_mode(&mut mode), codes::SUCCESS);
    assert_eq!((mode, runtime::event_query(event)), (0, codes::SUCCESS));
    assert_eq!(runtime::thread_exchange_stream_capture_mode(&mut mode), codes::SUCCESS);
    let (none, nothing) = (std::ptr::null_mut::<*const c_void>(), std::ptr::null_mut::<*mut c_void>());
    let told = runtime::stream_get_capture_info(stream.0 as usize, &mut status, &mut id, nothing, none, none.cast());
    assert_eq!((told, id), (codes::SUCCESS, stream.0));
    with(|runtime| runtime.set_capturing(stream, false));
}

/// `CUmemAllocationProp` and `CUmemAccessDesc` of a device, as words.
fn properties(device: c_int) -> ([c_int; 8], [c_int; 3]) {
    ([1, 0, 1, device, 0, 0, 0, 0], [1, device, 3])
}

#[test]
fn memory_by_addresses_is_counted_from_its_creation_to_its_last_mapping() {
    let _turn = installed(1);
    let bytes = GRANULE as usize;
    let (properties, access) = properties(0);
    let (mut address, mut handle) = (0, 0);
    assert_eq!(driver::mem_address_reserve(&mut address, 8 * bytes, 0, 0, 0), codes::SUCCESS);
    assert_eq!(driver::mem_create(&mut handle, bytes, properties.as_ptr().cast(), 0), codes::SUCCESS);
    assert_eq!(free_granules(), 15);
    assert_eq!(driver::mem_map(address, bytes, 0, handle, 0), codes::SUCCESS);
    assert_eq!(driver::mem_set_access(address, bytes, access.as_ptr().cast(), 1), codes::SUCCESS);
    assert_eq!(driver::mem_unmap(address, bytes), codes::SUCCESS);
    assert_eq!(free_granules(), 15);
    assert_eq!(driver::mem_release(handle), codes::SUCCESS);
    assert_eq!(free_granules(), 16);
    assert!(misuse().is_empty());
    let left = with(|runtime| runtime.left_behind()).expect("it was installed");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(driver::mem_address_free(address, 8 * bytes), codes::SUCCESS);
}

#[test]
fn what_no_program_may_do_is_refused_and_written_down() {
    let _turn = installed(1);
    let bytes = GRANULE as usize;
    let (properties, access) = properties(0);
    let (mut address, mut handle) = (0, 0);
    assert_eq!(driver::mem_address_reserve(&mut address, 2 * bytes, 0, 0, 0), codes::SUCCESS);
    assert_eq!(driver::mem_create(&mut handle, bytes, properties.as_ptr().cast(), 0), codes::SUCCESS);
    assert_eq!(driver::mem_map(address, bytes, 0, handle, 0), codes::SUCCESS);
    let refused = [
        driver::mem_map(address, bytes, 0, handle, 0),
        driver::mem_map(address, 2 * bytes, 0, handle, 0),
        driver::mem_unmap(address + GRANULE, bytes),
        driver::mem_set_access(address, 2 * bytes, access.as_ptr().cast(), 1),
        driver::mem_address_free(address, 2 * bytes),
        driver::mem_address_free(address, bytes),
        driver::mem_unmap(64, bytes),
    ];
    assert_eq!(refused, [codes::INVALID_VALUE; 7]);
    assert_eq!((driver::mem_release(handle), driver::mem_release(handle)), (codes::SUCCESS, codes::INVALID_VALUE));
    let calls: Vec<String> =
        misuse().iter().filter_map(|text| text.split_once(':')).map(|(call, _)| call.to_owned()).collect();
    let expected = [
        "cuMemMap",
        "cuMemMap",
        "cuMemUnmap",
        "cuMemSetAccess",
        "cuMemAddressFree",
        "cuMemAddressFree",
        "cuMemUnmap",
        "cuMemRelease",
    ];
    assert_eq!(calls, expected);
}

#[test]
fn a_planned_failure_is_an_error_of_its_call() {
    let _turn = installed(1);
    on(0, |device| device.fault(DeviceCall::MemoryInfo, 0, None));
    assert_eq!(runtime::mem_get_info(&mut 0, &mut 0), 999);
    assert_eq!(runtime::mem_get_info(&mut 0, &mut 0), codes::SUCCESS);
}

/// Whatever error it is made to fail with, also the one that misuse is answered with.
#[test]
fn a_planned_failure_is_no_misuse() {
    let _turn = installed(1);
    let bytes = GRANULE as usize;
    let mut address = 0;
    assert_eq!(driver::mem_address_reserve(&mut address, bytes, 0, 0, 0), codes::SUCCESS);
    for call in [DeviceCall::Unmap, DeviceCall::SetAccess] {
        on(0, |device| device.fault(call, 0, Some(FaultError::InvalidValue)));
    }
    let (mut handle, (properties, access)) = (0, properties(0));
    assert_eq!(driver::mem_create(&mut handle, bytes, properties.as_ptr().cast(), 0), codes::SUCCESS);
    assert_eq!(driver::mem_map(address, bytes, 0, handle, 0), codes::SUCCESS);
    let allow = || driver::mem_set_access(address, bytes, access.as_ptr().cast(), 1);
    assert_eq!((allow(), allow()), (codes::INVALID_VALUE, codes::SUCCESS));
    let unmap = || driver::mem_unmap(address, bytes);
    assert_eq!((unmap(), unmap()), (codes::INVALID_VALUE, codes::SUCCESS));
    assert!(misuse().is_empty());
    assert_eq!((unmap(), misuse().len()), (codes::INVALID_VALUE, 1));
}

#[test]
fn other_processes_are_listed_with_their_memory() {
    let _turn = installed(1);
    on(0, |device| device.set_neighbour(4 * GRANULE));
    let (mut handle, mut count) = (std::ptr::null_mut(), 0);
    assert_eq!(nvml::device_get_handle_by_pci_bus_id(c"00000000:01:00.0".as_ptr(), &mut handle), 0);
    let none = std::ptr::null_mut();
    assert_eq!(nvml::device_get_compute_running_processes(handle, &mut count, none), 7, "there is no room");
    let mut room = [[0_u64; 2]; 4];
    count = 4;
    assert_eq!(nvml::device_get_compute_running_processes(handle, &mut count, room.as_mut_ptr().cast()), 0);
    assert_eq!((count, room[0]), (2, [4242, 4 * GRANULE]));
}

#[test]
fn a_forwarding_library_is_bound_by_name_and_what_is_not_here_is_kept_by_name() {
    let _turn = installed(1);
    let names = [c"cudaMalloc".as_ptr(), c"cudaGraphLaunch".as_ptr(), std::ptr::null()];
    let mut slots = [std::ptr::null_mut::<c_void>(); 2];
    let mut unbound = std::ptr::null_mut();
    let library = Forwarder { names: names.as_ptr(), slots: slots.as_mut_ptr(), unbound: &mut unbound };
    // SAFETY: the arrays are as a forwarding library has them.
    let bound = unsafe { bind(&library) };
    assert_eq!((bound, slots[0].is_null(), slots[1].is_null(), unbound.is_null()), (1, false, true, false));
    let all: Vec<bool> = exports::NAMES
        .iter()
        .map(|name| {
            let name = std::ffi::CString::new(*name).expect("no name has a zero");
            exports::find(&name).is_some()
        })
        .collect();
    assert!(all.iter().all(|&found| found));
    let mut function = std::ptr::null_mut();
    let mut status = 9;
    assert_eq!(runtime::get_driver_entry_point(c"cuMemsetD32Async".as_ptr(), &mut function, 0, &mut status), 0);
    // SAFETY: every function of that kind takes nothing and answers a number.
    let refused = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(function) }();
    assert_eq!((status, refused), (0, codes::NOT_SUPPORTED));
    assert_eq!(
        with(|runtime| runtime.unsupported().iter().cloned().collect::<Vec<_>>()),
        Some(vec!["cuMemsetD32Async".to_owned()])
    );
}

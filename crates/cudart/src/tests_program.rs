//! What a whole program calls beyond an allocator: streams that it makes, copies, contexts, kernels.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard};

use crate::copies::PointerAttributes;
use crate::device::sim::SimDevice;
use crate::launch::Extent;
use crate::op::{GRANULE, StreamId};
use crate::{SharedDevice, codes, contexts, copies, driver, launch, nvml, properties, runtime, with};

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn tell(name: &str) {
    TOLD.lock().expect("no test panics with it").push(name.to_owned());
}

fn program(devices: u32) -> MutexGuard<'static, ()> {
    seeing(devices, &[0, 1])
}

fn seeing(devices: u32, visible: &[usize]) -> MutexGuard<'static, ()> {
    let turn = crate::tests::turn();
    TOLD.lock().expect("no test panics with it").clear();
    let sizes = vec![16 * GRANULE; devices as usize];
    let devices = SimDevice::spaced(1, &sizes, StreamId::LIMIT, 1 << 47).into_iter();
    let devices = devices.map(|device| Box::new(device) as SharedDevice).collect();
    crate::install_for_program(devices, visible, StreamId::LIMIT, tell);
    turn
}

fn told() -> Vec<String> {
    std::mem::take(&mut TOLD.lock().expect("no test panics with it"))
}

fn stream() -> u64 {
    let mut stream = 0;
    assert_eq!(runtime::stream_create_with_priority(&mut stream, 1, -9), codes::SUCCESS);
    stream
}

fn keep_busy(stream: u64, is_busy: bool) -> Result<(), i32> {
    with(|runtime| runtime.keep_busy(stream, is_busy)).expect("it was installed")
}

fn memory(bytes: usize) -> u64 {
    let mut pointer = 0;
    assert_eq!(runtime::malloc(&mut pointer, bytes), codes::SUCCESS);
    pointer as u64
}

fn at<T>(place: &T) -> u64 {
    std::ptr::from_ref(place).expose_provenance() as u64
}

#[test]
fn streams_are_as_many_as_wanted_and_few_can_be_busy() {
    let _turn = program(2);
    let streams: Vec<u64> = (0..500).map(|_| stream()).collect();
    let mut priority = 9;
    assert_eq!((runtime::stream_get_priority(streams[0], &mut priority), priority), (codes::SUCCESS, -5));
    let busy = streams.iter().filter(|&&stream| keep_busy(stream, true).is_ok()).count();
    assert_eq!(busy, usize::from(StreamId::LIMIT) - 2, "all but the default one and the one that is always idle");
    assert_eq!(told(), ["so many busy streams"]);
    assert_eq!(runtime::stream_query(streams[0] as usize), codes::NOT_READY);
    assert_eq!(runtime::stream_query(streams[499] as usize), codes::SUCCESS);
    keep_busy(streams[0], false).expect("it is busy");
    assert_eq!(runtime::stream_query(streams[0] as usize), codes::SUCCESS);
    assert_eq!(runtime::stream_destroy(streams[1]), codes::SUCCESS);
    assert_eq!(runtime::stream_query(streams[1] as usize), codes::INVALID_HANDLE);
    assert_eq!(runtime::stream_destroy(streams[1]), codes::INVALID_HANDLE);
    assert_eq!(keep_busy(streams[499], true), Ok(()), "one was given back");
}

#[test]
fn a_stream_waits_for_an_event_of_its_device() {
    let _turn = program(2);
    let (on, waits) = (stream(), stream());
    let mut event = 0;
    assert_eq!(runtime::event_create(&mut event), codes::SUCCESS);
    keep_busy(on, true).expect("it is there");
    assert_eq!(runtime::event_record_with_flags(event, on as usize, 0), codes::SUCCESS);
    assert_eq!(runtime::event_query(event), codes::NOT_READY);
    assert_eq!(runtime::stream_wait_event(waits as usize, event, 0), codes::SUCCESS);
    assert_eq!(runtime::stream_query(waits as usize), codes::NOT_READY);
    assert_eq!(runtime::set_device(1), codes::SUCCESS);
    let elsewhere = stream();
    assert_eq!(runtime::stream_wait_event(elsewhere as usize, event, 0), codes::NOT_SUPPORTED);
    keep_busy(on, false).expect("it is busy");
    assert_eq!(runtime::stream_query(waits as usize), codes::SUCCESS);
    assert_eq!(runtime::stream_wait_event(elsewhere as usize, event, 0), codes::SUCCESS, "it has passed");
}

#[test]
fn copies_keep_what_they_carry_and_find_no_memory_where_there_is_none() {
    let _turn = program(2);
    let (a, b) = (memory(3000), memory(3000));
    let from: Vec<u8> = (0..3000).map(|place| (place % 251) as u8).collect();
    let mut into = vec![0_u8; 3000];
    let (host, back) = (from.as_ptr().expose_provenance() as u64, into.as_mut_ptr().expose_provenance() as u64);
    assert_eq!(copies::memcpy(a, host, 3000, 1), codes::SUCCESS);
    assert_eq!(copies::memcpy_async(b, a, 3000, 3, 0), codes::SUCCESS);
    assert_eq!(copies::memset(b + 10, 0x1ff, 5), codes::SUCCESS);
    assert_eq!(copies::memcpy(back, b, 3000, 4), codes::SUCCESS, "the addresses tell which way");
    assert_eq!((&into[..10], &into[10..15], &into[15..]), (&from[..10], &[0xff; 5][..], &from[15..]));
    assert_eq!(copies::memcpy_2d_async(a, 100, host, 50, 2, 3, 1, 0), codes::SUCCESS);
    assert_eq!(copies::memcpy(back, a, 3000, 2), codes::SUCCESS);
    assert_eq!((&into[100..102], into[102]), (&from[50..52], from[102]));
    assert_eq!(copies::memcpy(a, host, 3000, 7), codes::INVALID_VALUE);
    assert_eq!(copies::memcpy(a + 2999, host, 2, 1), codes::INVALID_VALUE);
    assert_eq!(runtime::free(b as usize), codes::SUCCESS);
    assert_eq!(copies::memcpy(back, b, 1, 4), codes::INVALID_VALUE);
    let misuse: Vec<String> = with(|runtime| runtime.misuse().iter().map(|m| m.what.clone()).collect()).expect("there");
    assert_eq!(misuse, [format!("there is no memory at {:#x}", a + 3000), format!("there is no memory at {b:#x}")]);
    let stream = stream();
    keep_busy(stream, true).expect("it is there");
    assert_eq!(copies::memset_async(a, 0, 1, stream), codes::NOT_SUPPORTED, "it would have to wait");
}

#[test]
fn memory_by_addresses_holds_what_was_copied_there() {
    let _turn = program(1);
    let bytes = GRANULE as usize;
    let (properties, access): ([c_int; 8], [c_int; 3]) = ([1, 0, 1, 0, 0, 0, 0, 0], [1, 0, 3]);
    let (mut address, mut handle, mut base, mut length) = (0, 0, 0, 0);
    assert_eq!(driver::mem_address_reserve(&mut address, 2 * bytes, 0, 0, 0), codes::SUCCESS);
    assert_eq!(driver::mem_create(&mut handle, bytes, properties.as_ptr().cast(), 0), codes::SUCCESS);
    assert_eq!(driver::mem_map(address, bytes, 0, handle, 0), codes::SUCCESS);
    let (value, mut back) = (7_u64, 0_u64);
    assert_eq!(copies::memcpy(address, at(&value), 8, 1), codes::INVALID_VALUE, "nobody may yet");
    assert_eq!(driver::mem_set_access(address, bytes, access.as_ptr().cast(), 1), codes::SUCCESS);
    assert_eq!(copies::memcpy(address, at(&value), 8, 1), codes::SUCCESS);
    let into = std::ptr::from_mut(&mut back).expose_provenance() as u64;
    assert_eq!((copies::memcpy(into, address, 8, 2), back), (codes::SUCCESS, 7));
    assert_eq!(contexts::mem_get_address_range(&mut base, &mut length, address + 5), codes::SUCCESS);
    assert_eq!((base, length), (address, bytes));
    assert_eq!((driver::mem_unmap(address, bytes), driver::mem_release(handle)), (codes::SUCCESS, codes::SUCCESS));
    assert_eq!(copies::memcpy(into, address, 8, 2), codes::INVALID_VALUE);
}

#[test]
fn memory_of_the_host_is_known_by_its_address() {
    let _turn = program(1);
    let mut pointer = std::ptr::null_mut();
    assert_eq!(copies::host_alloc(&mut pointer, 5000, 0), codes::SUCCESS);
    assert!(pointer.addr().is_multiple_of(4096));
    let mut found = PointerAttributes { kind: 9, device: 9, on_device: 9, on_host: 9 };
    let mut kind = |address: usize| {
        assert_eq!(copies::pointer_get_attributes(&mut found, address), codes::SUCCESS);
        (found.kind, found.device)
    };
    let device = memory(10) as usize;
    assert_eq!([kind(pointer.addr() + 4999), kind(device), kind(5)], [(1, 0), (2, 0), (0, -2)]);
    let mut own = [0_u8; 64];
    let own: *mut c_void = own.as_mut_ptr().cast();
    assert_eq!(copies::host_register(own, 64, 0), codes::SUCCESS);
    assert_eq!((copies::host_register(own, 64, 0), kind(own.addr()).0), (712, 1));
    assert_eq!((copies::host_unregister(own), copies::host_unregister(own)), (codes::SUCCESS, 713));
    assert_eq!(copies::host_unregister(pointer), 713, "it was made here");
    assert_eq!((copies::free_host(pointer), copies::free_host(pointer)), (codes::SUCCESS, codes::INVALID_VALUE));
}

#[test]
fn a_kernel_is_registered_and_its_launch_refused_by_its_name() {
    let _turn = program(1);
    let handle = launch::register_fat_binary(std::ptr::null());
    let host: *const c_void = (tell as fn(&str) as *const ()).cast();
    let name = c"_Z4fillPf";
    launch::register_function(handle, host, std::ptr::null_mut(), name.as_ptr());
    launch::register_fat_binary_end(handle);
    let (three, mut grid, mut block) = (Extent([1, 2, 3]), Extent([0; 3]), Extent([0; 3]));
    let (mut shared, mut stream) = (0, std::ptr::null_mut());
    assert_eq!(launch::push_call_configuration(three, Extent([4, 5, 6]), 7, std::ptr::null_mut()), 0);
    assert_eq!(launch::pop_call_configuration(&mut grid, &mut block, &mut shared, &mut stream), codes::SUCCESS);
    assert_eq!((grid, block, shared), (three, Extent([4, 5, 6]), 7));
    assert_ne!(launch::pop_call_configuration(&mut grid, &mut block, &mut shared, &mut stream), codes::SUCCESS);
    assert_eq!(launch::launch_kernel(host), codes::NOT_SUPPORTED);
    assert_eq!((runtime::get_last_error(), runtime::get_last_error()), (codes::NOT_SUPPORTED, codes::SUCCESS));
    let mut kernel = std::ptr::null();
    assert_eq!(launch::get_kernel(&mut kernel, host), codes::SUCCESS);
    assert_eq!(launch::launch_kernel_by_handle(kernel), codes::NOT_SUPPORTED);
    launch::unregister_fat_binary(handle);
    assert_eq!(launch::launch_kernel_ex(std::ptr::null(), host), codes::NOT_SUPPORTED);
    assert_eq!(told(), ["cudaLaunchKernel of _Z4fillPf", "cudaLaunchKernelExC"], "each is told of once");
}

#[test]
fn a_device_has_a_context_once_it_is_used() {
    let _turn = program(2);
    let (mut flags, mut active, mut context) = (9, 9, 9);
    assert_eq!(contexts::get_current(&mut context), codes::SUCCESS);
    assert_eq!(context, 0);
    assert_eq!(contexts::primary_get_state(1, &mut flags, &mut active), codes::SUCCESS);
    assert_eq!((flags, active), (0, 0));
    assert_eq!(runtime::set_device(1), codes::SUCCESS);
    assert_eq!(contexts::primary_get_state(1, &mut flags, &mut active), codes::SUCCESS);
    assert_eq!((active, contexts::get_current(&mut context)), (1, codes::SUCCESS));
    let mut device = 9;
    assert_eq!((runtime::set_device(0), contexts::set_current(context)), (codes::SUCCESS, codes::SUCCESS));
    assert_eq!((contexts::get_device(&mut device), device), (codes::SUCCESS, 1));
    assert_eq!(contexts::set_current(5), 201);
    assert_eq!(contexts::primary_retain(&mut context, 2), codes::INVALID_DEVICE);
}

#[test]
fn a_name_that_is_not_here_is_not_found_and_kept() {
    let _turn = program(1);
    let find = |name: &CStr| {
        let (mut function, mut status) = (std::ptr::null_mut(), 9);
        let code = contexts::get_proc_address(name.as_ptr(), &mut function, 13_000, 0, &mut status);
        (code, status, function.is_null())
    };
    assert_eq!(find(c"cuMemMap"), (codes::SUCCESS, 0, false));
    assert_eq!([find(c"cuGLInit"), find(c"cuEventQuery")], [(codes::NOT_FOUND, 1, true); 2]);
    assert_eq!(told().len(), 1);
    let kept = with(|runtime| runtime.not_found().iter().cloned().collect::<Vec<_>>());
    assert_eq!(kept, Some(vec!["cuEventQuery".to_owned(), "cuGLInit".to_owned()]));
}

/// A C string of at most 63 bytes that a function writes.
fn text(write: impl FnOnce(*mut c_char) -> c_int) -> String {
    let mut room = [0_u8; 64];
    assert_eq!(write(room.as_mut_ptr().cast()), 0);
    CStr::from_bytes_until_nul(&room).expect("it ends").to_string_lossy().into_owned()
}

#[test]
fn devices_say_where_they_are_and_are_found_there() {
    let _turn = program(2);
    let place = text(|into| properties::device_get_pci_bus_id(into, 64, 1));
    assert_eq!(place, "0000:02:00.0");
    let mut handle = std::ptr::null_mut();
    let id = CString::new(place).expect("no zero");
    assert_eq!(nvml::device_get_handle_by_pci_bus_id(id.as_ptr(), &mut handle), 0);
    assert_eq!(text(|into| nvml::device_get_uuid(handle, into, 64)), "GPU-706f6f6c-7072-6f6f-662d-73696d000001");
    assert_eq!(text(|into| nvml::device_get_name(handle, into, 64)), "simulated");
    memory(3 << 20);
    let mut memory = [0; 3];
    let mut first = std::ptr::null_mut();
    assert_eq!(
        (nvml::device_get_handle_by_index(0, &mut first), nvml::device_get_memory_info(first, &mut memory)),
        (0, 0)
    );
    assert_eq!(memory, [16 * GRANULE, 14 * GRANULE, 2 * GRANULE]);
    assert_eq!(nvml::device_get_handle_by_index(2, &mut first), 6);
    let none =
        [properties::device_at("0000:00:00.0"), properties::device_at("0001:01:00.0"), properties::device_at("x")];
    assert_eq!((none, properties::device_at("00000000:0A:00.0")), ([None; 3], Some(9)));
}

#[test]
fn a_program_sees_some_devices_and_nvml_all() {
    let _turn = seeing(3, &[2, 0, 7]);
    let (mut count, mut listed) = (9, 9);
    assert_eq!((runtime::get_device_count(&mut count), count), (codes::SUCCESS, 2));
    assert_eq!((nvml::device_get_count(&mut listed), listed), (0, 3));
    assert_eq!(text(|into| properties::device_get_pci_bus_id(into, 64, 0)), "0000:03:00.0");
    let (mut handle, mut hidden, mut room) = (std::ptr::null_mut(), std::ptr::null_mut(), [0; 3]);
    assert_eq!((runtime::set_device(0), memory(10) > 0), (codes::SUCCESS, true));
    assert_eq!(nvml::device_get_handle_by_index(2, &mut handle), 0);
    assert_eq!((nvml::device_get_memory_info(handle, &mut room), room[2]), (0, GRANULE));
    assert_eq!(nvml::device_get_handle_by_index(1, &mut hidden), 0);
    assert_eq!((nvml::device_get_memory_info(hidden, &mut room), room[2]), (0, 0));
}

#[test]
fn properties_are_where_each_cuda_has_them() {
    let _turn = program(2);
    let mut all = [0_u8; 1032];
    let number = |all: &[u8], at: usize| i32::from_ne_bytes(all[at..at + 4].try_into().expect("four"));
    let total = |all: &[u8]| u64::from_ne_bytes(all[288..296].try_into().expect("eight"));
    assert_eq!(properties::get_device_properties(all.as_mut_ptr(), 1), codes::SUCCESS);
    assert_eq!((number(&all, 384), number(&all, 568), number(&all, 604)), (132, 2, 2048), "CUDA 13");
    assert_eq!((&all[..10], total(&all), number(&all, 360)), (&b"simulated\0"[..], 16 * GRANULE, 9));
    all.fill(0xee);
    assert_eq!(properties::get_device_properties_v2(all.as_mut_ptr(), 0), codes::SUCCESS);
    assert_eq!((number(&all, 388), number(&all, 584), number(&all, 624)), (132, 1, 2048), "CUDA 12");
    assert_eq!((&all[..10], total(&all), number(&all, 360)), (&b"simulated\0"[..], 16 * GRANULE, 9));
    let mut value = 0;
    assert_eq!((properties::device_get_attribute(&mut value, 10, 0), value), (codes::SUCCESS, 32));
    assert_eq!(properties::device_get_attribute(&mut value, 9999, 0), codes::NOT_SUPPORTED);
    assert_eq!(told(), ["cudaDeviceGetAttribute of attribute 9999"]);
    assert_eq!(properties::get_device_properties(all.as_mut_ptr(), 2), codes::INVALID_DEVICE);
}

//! Which GPUs there are, or why none can be used: `cargo run -p poolproof-cuda --example look`.

fn main() {
    match poolproof_cuda::probe() {
        Ok(found) => {
            println!("CUDA {}", found.driver_version);
            for gpu in found.gpus {
                println!("GPU {}: {}, {} MiB", gpu.ordinal, gpu.name, gpu.total_bytes >> 20);
            }
        }
        Err(error) => println!("{error}"),
    }
}

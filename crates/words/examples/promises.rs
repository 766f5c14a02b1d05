//! Every numbered promise with its title: `cargo run -p poolproof-words --example promises`.

use poolproof_words::requirement;

fn main() {
    for promise in &requirement::ALL {
        println!("{}  {}", promise.id, promise.en);
    }
}

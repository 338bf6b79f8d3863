//! Two ISPs, one of which dies: where do new flows go? `cargo run -p lab --example two_isps`
//! Needs no privileges where user namespaces are allowed.

use lab::Lab;

fn main() -> std::io::Result<()> {
    lab::enter_unprivileged()?;
    let lab = Lab::builder().uplinks(2).build()?;
    println!("both well:          {}", lab.client().tcp_flows("1.1.1.1", 443, 100));
    lab.isp(1).blackhole();
    println!("wan dead:           {}", lab.client().tcp_flows("1.1.1.1", 443, 100));
    lab.router().sh("ip route del default dev wan");
    println!("its route removed:  {}", lab.client().tcp_flows("1.1.1.1", 443, 100));
    Ok(())
}

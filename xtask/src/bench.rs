pub fn run(_: u64) -> anyhow::Result<()> { Ok(()) }

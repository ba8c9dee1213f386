pub(crate) fn run(_stage: &crate::stage::Stage<'_>) {}

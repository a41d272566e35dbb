//! overtaken

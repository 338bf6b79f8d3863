//! One package for one architecture, before it is packed.

use crate::dist::recipe::Recipe;
use crate::dist::tree::Tree;

#[derive(Clone, Debug)]
pub struct Package {
    pub recipe: Recipe,
    /// `all` for what runs on every machine.
    pub architecture: String,
    pub tree: Tree,
    /// Of all files.
    pub time_s: u64,
}

impl Package {
    pub fn ipk_name(&self) -> String {
        format!("{}_{}_{}.ipk", self.recipe.name, self.recipe.version, self.architecture)
    }

    pub fn apk_name(&self) -> String {
        format!("{}-{}.apk", self.recipe.name, self.recipe.version)
    }
}

use serde_json::{Map, Value, json};

use super::{
    build::{Build, Located},
    features::Features,
};

/// What makes an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// What it begins with.
    pub base: Base,
    /// What is installed on top.
    pub features: Option<Features>,
    /// It is built by docker alone, without the devcontainer CLI: the image of a service beside the devcontainer's own.
    pub plain: bool,
}

/// What an image begins with.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// A Dockerfile.
    Dockerfile(Build),
    /// An image.
    Image(String),
    /// The node's default image, since the configuration names nothing.
    Default(String),
}

impl Recipe {
    /// The image, if it is used as it is: nothing is built.
    pub fn unchanged_image(&self) -> Option<&str> {
        match (&self.base, &self.features) {
            (Base::Image(image) | Base::Default(image), None) => Some(image),
            _ => None,
        }
    }

    /// A devcontainer configuration that makes this image and says nothing else. `located` is where the files of a build are
    /// on the node, for a Dockerfile.
    pub fn to_properties(&self, located: Option<Located>) -> Map<String, Value> {
        let Self {
            base,
            features,
            plain: _,
        } = self;
        let mut properties = Map::new();
        match base {
            Base::Image(image) | Base::Default(image) => {
                properties.insert("image".to_owned(), json!(image));
            }
            Base::Dockerfile(build) => {
                let located = located.unwrap_or_else(|| Located {
                    dockerfile: build.dockerfile.clone(),
                    context: build.context.clone(),
                    options: Vec::new(),
                });
                properties.insert("build".to_owned(), build.to_property(located));
            }
        }
        if let Some(features) = features {
            features.write(&mut properties);
        }
        properties
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_nothing_is_added_to_is_used_as_it_is() {
        let image = Base::Image("a:1".to_owned());
        let default = Base::Default("b:1".to_owned());
        let unchanged = |base, features| {
            let recipe = Recipe {
                base,
                features,
                plain: false,
            };
            recipe.unchanged_image().map(str::to_owned)
        };
        assert_eq!(unchanged(image.clone(), None).as_deref(), Some("a:1"));
        assert_eq!(unchanged(default, None).as_deref(), Some("b:1"));
        let features = Features {
            options: Map::from_iter([("./f".to_owned(), json!({}))]),
            install_order: None,
            remote_user: None,
            container_user: None,
        };
        assert_eq!(unchanged(image, Some(features)), None);
    }
}

"""At home in web apps: `problems` for any framework, and a module for each framework that needs more than a recipe."""

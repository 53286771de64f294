"""What an environment is: `PufferEnv`, its actions, its episodes, and the contract that every environment is checked against."""

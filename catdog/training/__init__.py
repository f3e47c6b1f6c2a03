"""Training: optimizers, learning rate schedules, compiled steps, training loop, LR range test.

Takes plain numbers, Keras objects and feeds, and returns a history; knows neither configuration
nor MLflow. Loads TensorFlow.
"""
